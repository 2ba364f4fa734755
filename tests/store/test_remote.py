"""Two machines and one storage: what is whole there is served, from whichever of them; nothing else is."""

import os
import time
from pathlib import Path

import pytest

from pricing.command.options import build_overrides
from pricing.config.paths import PathsConfig
from pricing.configuration import load_config
from pricing.errors import ArtifactError, ConfigError
from pricing.store.artifacts import ArtifactStore, Reference
from pricing.store.keys import key_of, key_parts
from pricing.store.references import RECORD
from pricing.store.remote import Remote
from pricing.store.stages import Stage
from pricing.store.sweep import sweep

PARTS = key_parts("folds", "pricing.catalogue.ingest", {})


class Machines:
    """Machines without a shared disk, and the folder that plays the storage."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = root / "storage"
        self.made: list[str] = []

    def paths(self, name: str, size: str = "1GB") -> PathsConfig:
        return PathsConfig.model_validate(
            {"artifacts": f"file://{self.storage}", "cache": self.root / name, "cache_size": size}
        )

    def store(self, name: str, size: str = "1GB") -> ArtifactStore:
        return ArtifactStore.of(self.paths(name, size))

    def build(self, name: str, text: str = "a", slot: str = "", size: str = "1GB") -> Reference:
        def make(out: Path) -> None:
            self.made.append(name)
            (out / "sub").mkdir()
            (out / "sub" / "value.txt").write_text(text, encoding="utf-8")

        parts = PARTS | {"inputs": {"slot": slot}}
        return self.store(name, size).build(Stage.FOLDS, "folds", slot, parts, make)

    def text(self, name: str, reference: Reference) -> str:
        return (self.store(name).path(reference) / "sub" / "value.txt").read_text(encoding="utf-8")

    def objects(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.storage.rglob(pattern) if path.is_file())


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_what_one_machine_made_the_other_reads(machines: Machines) -> None:
    made = machines.build("one")
    assert machines.build("two") == made
    assert machines.made == ["one"]
    assert machines.text("two", made) == "a"
    # a worker that is handed a reference fetches what it names
    assert machines.text("three", made) == "a"


def test_without_its_record_an_output_is_not_served(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies while it uploads leaves files, and its record is the last of them."""

    def dies(remote: Remote, name: str, content: bytes) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "create", dies)
        with pytest.raises(KeyboardInterrupt):
            machines.build("one")
    assert machines.objects("value.txt")
    assert machines.store("two").find("folds", key_of(PARTS | {"inputs": {"slot": ""}})) is None
    made = machines.build("two")
    assert machines.made == ["one", "two"]
    # what the first one kept is its own copy, which it may go on with
    assert machines.build("one") == made
    assert machines.made == ["one", "two"]


def test_an_output_whose_upload_was_cut_off_is_uploaded_by_the_next_run(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "put", _fails)
        with pytest.raises(ArtifactError, match="no network"):
            machines.build("one")
    made = machines.build("one")
    assert machines.build("two") == made
    assert machines.made == ["one"]


def _fails(remote: Remote, files: object) -> None:
    raise ArtifactError("no network")


def test_of_two_machines_the_first_record_counts(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[Reference] = []
    put = Remote.put

    def overtaken(remote: Remote, files: dict[str, Path]) -> None:
        put(remote, files)
        if not first:
            first.append(Reference.model_construct())  # once
            first[0] = machines.build("two", "theirs")

    monkeypatch.setattr(Remote, "put", overtaken)
    assert machines.build("one", "mine") == first[0]
    assert machines.text("one", first[0]) == machines.text("two", first[0]) == "theirs"
    assert len(machines.objects("value.txt")) == 1
    assert machines.store("three").verify() == {}


@pytest.mark.parametrize("damage", ["corrupt", "missing", "torn record"])
def test_what_is_damaged_there_is_rebuilt(machines: Machines, damage: str) -> None:
    made = machines.build("one")
    (value,), (record,) = machines.objects("value.txt"), machines.objects(RECORD)
    if damage == "corrupt":
        value.write_text("b", encoding="utf-8")
    elif damage == "missing":
        value.unlink()
    else:
        record.write_text(record.read_text(encoding="utf-8")[:50], encoding="utf-8")
    again = machines.build("two")
    assert (machines.made, again.digest) == (["one", "two"], made.digest)
    assert machines.build("three") == again
    assert machines.text("three", again) == "a"
    assert machines.store("three").verify() == {}


def test_a_reference_to_what_is_gone_is_an_error(machines: Machines) -> None:
    made = machines.build("one")
    machines.objects("value.txt")[0].write_text("b", encoding="utf-8")
    with pytest.raises(ArtifactError, match="run again to rebuild it"):
        machines.store("two").path(made)


def test_a_record_that_names_a_file_elsewhere_is_not_followed(machines: Machines) -> None:
    machines.build("one")
    (record,) = machines.objects(RECORD)
    record.write_text(record.read_text(encoding="utf-8").replace("sub/value.txt", "../../../stolen"), encoding="utf-8")
    assert machines.build("two").digest
    assert not list(machines.root.rglob("stolen"))


def test_copies_over_the_limit_go_but_none_that_is_in_use(machines: Machines) -> None:
    made = [machines.build("one", text * 600, text) for text in "abc"]
    here = machines.root / "one" / "store" / "folds"

    def kept() -> list[str]:
        return [reference.slot for reference in made if (here / reference.key).exists()]

    for hours, reference in enumerate(reversed(made)):
        os.utime(here / reference.key / RECORD, (time.time() - 3600 * (hours + 1),) * 2)
    small = machines.store("one", "1300")
    with small.in_use():
        small.path(made[0])
        with machines.store("one", "1300").in_use():  # another step, which ends
            pass
        # the oldest one is in use, so that the next one goes
        assert kept() == ["a", "c"]
    assert machines.text("one", made[1]) == "b" * 600


def test_a_copy_that_is_only_here_stays(machines: Machines) -> None:
    made = machines.build("one")
    file = machines.root / "one" / "store" / "folds" / made.key / RECORD
    os.utime(file, (1.0, 1.0))
    machines.objects(RECORD)[0].unlink()
    with machines.store("one", "0").in_use():
        pass
    assert file.exists()


def test_prune_and_verify_look_at_the_storage(machines: Machines) -> None:
    kept, gone = machines.build("one", slot="kept"), machines.build("one", slot="gone")
    store = machines.store("two")
    store.shared.remote.write("work/KEY/step.json", b"1")  # type: ignore[union-attr]
    run = machines.root / "run"
    run.mkdir()
    (run / "run.json").write_text(f'{{"stages": [{{"key": "{kept.key}"}}]}}', encoding="utf-8")
    assert [record["reference"] for record in store.outputs("folds")] == [kept, gone]
    machines.objects("value.txt")[0].write_text("b", encoding="utf-8")
    assert [problem for problems in store.verify().values() for problem in problems] == [
        "sub/value.txt: content changed"
    ]
    assert sweep(machines.paths("two"), [run])[0] == 1
    assert [record["reference"] for record in store.outputs()] == [kept]
    assert machines.objects("step.json")
    assert sweep(machines.paths("two"), [])[0] == 1
    assert machines.objects("*") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/prefix/", "s3://bucket/prefix"), (Path("s3://bucket/prefix"), "s3://bucket/prefix"),
        ("file:///shared", "file:///shared"), ("folder/s3", Path("folder/s3")), ("C:/data", Path("C:/data")),
    ],
)  # fmt: skip
def test_a_place_is_a_folder_or_an_address(text: str | Path, place: str | Path) -> None:
    assert PathsConfig.model_validate({"artifacts": text}).artifacts == place


def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"smart-product-pricing\[s3\]"):
        Remote("s3://bucket/prefix").check()
    with pytest.raises(ConfigError, match="nosuch"):
        Remote("nosuch://bucket/prefix").check()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.mark.usefixtures("closed")
def test_a_storage_that_does_not_answer_is_one_error() -> None:
    with pytest.raises(ArtifactError, match="s3://bucket/prefix: cannot be read or written"):
        Remote("s3://bucket/prefix").check()


@pytest.mark.parametrize(
    "address", ["s3://name:Geheim7@bucket/prefix", "s3:/name:Geheim7@bucket", "s3://b?key=Geheim7"]
)
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    for refused in (
        lambda: load_config("demo", {"paths.artifacts": address}),
        lambda: build_overrides([], address),
    ):
        with pytest.raises(ConfigError, match="credentials come from the environment") as caught:
            refused()
        assert "Geheim7" not in str(caught.value)
