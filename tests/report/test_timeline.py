"""Times of a run's steps."""

from pricing.report.timeline import timeline


def test_timeline_measures_the_overlap() -> None:
    stages = [
        {"name": "lightgbm", "stage": "gbdt", "seconds": 10, "started": 0.0, "ended": 10.0, "cached": False},
        {"name": "lightgbm", "stage": "gbdt", "seconds": 6, "started": 4.0, "ended": 12.0, "cached": False},
        {"name": "multimodal", "stage": "neural", "seconds": 15, "started": 5.0, "ended": 20.0, "cached": False},
        {"name": "encode", "stage": "neural", "seconds": 3, "started": -86400.0, "ended": -86397.0, "cached": True},
        {"name": "report", "seconds": 1},
    ]
    found = timeline(stages)
    assert found["seconds"] == 20
    assert found["overlap"] == 7
    lanes = {lane["name"]: lane for lane in found["lanes"]}
    assert lanes["lightgbm"]["runs"] == 2
    assert lanes["multimodal"]["bars"][0]["left"] == 25
    assert lanes["multimodal"]["bars"][0]["width"] == 75
    assert lanes["report"]["bars"] == []
    assert lanes["encode"] == {
        "name": "encode", "branch": "neural", "seconds": 3, "runs": 1, "cached": 1, "bars": [],
    }, "a step of yesterday's run has no place among today's"  # fmt: skip
    assert timeline([])["lanes"] == []
