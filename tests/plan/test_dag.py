"""The DAG: what depends on what, and what is in whose key."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pricing.configuration import PricingConfig, load_config
from pricing.download.sources import ImageSource
from pricing.members.contract import Lane
from pricing.members.registry import member_classes
from pricing.plan.dag import Plan, make_plan
from pricing.plan.step import Step
from pricing.store.stages import Stage
from tests.conftest import ROOT

ROLES = {"catalogue.columns": {"id": "sku", "title": "name", "category": ["brand"], "price": "price"}}


def plan_of(config: PricingConfig, links: int = 10) -> Plan:
    return make_plan(config, Path("train.csv"), Path("test.csv"), ImageSource.web(), links)


def ancestors(step: Step) -> set[str]:
    found = {needed.name for needed in step.needs()}
    return found.union(*(ancestors(needed) for needed in step.needs()))


@pytest.fixture(scope="module")
def whole() -> Plan:
    return plan_of(load_config("cpu", ["tuning.trials=1", "images.shard_size=4"]))


def test_every_step_comes_after_those_that_it_needs(whole: Plan) -> None:
    seen: set[Step] = set()
    for step in whole.steps:
        assert set(step.needs()) <= seen, step.label
        seen.add(step)
    assert len({(step.name, step.slot) for step in whole.steps}) == len(whole.steps), "labels are distinct"


def test_trees_do_not_wait_for_images_and_the_stack_for_everything(whole: Plan) -> None:
    for step in whole.steps:
        if step.stage is Stage.GBDT:
            assert not ancestors(step) & {"fetch", "images", "encode", "neural"}
    ensemble, outputs = whole.find("ensemble"), whole.find("outputs")
    assert ensemble is not None
    assert outputs is not None
    assert {"gbdt", "neural", "images", "price_features", "settings"} <= ancestors(ensemble)
    assert "ensemble" in ancestors(outputs)


def test_images_are_fetched_in_shards_that_take_turns(whole: Plan) -> None:
    shards = [step for step in whole.steps if step.name == "fetch"]
    assert [step.slot for step in shards] == ["shard 0", "shard 1", "shard 2"]
    assert [step.inputs["before"] for step in shards] == [None, *shards[:-1]]
    assert {step.lane for step in shards} == {Lane.DOWNLOAD}
    assert all(step.retries and not step.cached for step in shards)
    assert not any(step.retries for step in whole.steps if step.name != "fetch"), "training fails again hours later"


def test_every_member_is_trained_on_every_fold_and_refitted_after_them(whole: Plan) -> None:
    config = load_config("cpu")
    classes = member_classes()
    assert list(whole.members) == list(config.enabled_members())
    for name, made in whole.members.items():
        folds = [f"fold_{number}" for number in range(config.folds.n_splits)]
        refits = classes[name].refits(getattr(config.members, name))
        assert list(made) == [*folds, *(["refit"] if refits else [])]
        if refits:
            assert made["refit"].inputs["fold_models"] == [made[fold] for fold in folds]


def test_a_member_for_columns_with_roles_is_trained_only_where_there_are_some() -> None:
    assert "column_mlp" not in plan_of(load_config("cpu")).members
    assert list(plan_of(load_config("cpu", ROLES)).members) == list(member_classes())


def test_a_member_that_is_off_leaves_no_step() -> None:
    for name in member_classes():
        steps = plan_of(load_config("cpu", {f"members.{name}.enabled": False, **ROLES})).steps
        assert not [step.label for step in steps if name in step.slot]


def test_only_what_changes_no_result_may_be_spread_over_borrowed_cores(whole: Plan) -> None:
    assert {step.name for step in whole.steps if step.spreads} == {"features", "ensemble", "outputs"}


def test_every_function_of_the_plan_is_there_and_takes_its_inputs(whole: Plan) -> None:
    import inspect
    from pkgutil import resolve_name

    given = {"out", "threads", "work", "image_folder", "resume", "source", "say", "inputs_digest"}
    for step in {step.run: step for step in whole.steps}.values():
        parameters = inspect.signature(resolve_name(step.run)).parameters
        assert set(step.inputs) <= set(parameters), step.run
        needed = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
        assert needed <= set(step.inputs) | given, step.run


DIGESTS = """
import json, sys
from pricing.configuration import load_config
from pricing.download.sources import ImageSource
from pricing.plan.dag import make_plan
from pricing.store.codehash import code_digests
from pathlib import Path
plan = make_plan(load_config("cpu"), Path("a"), None, ImageSource.web(), 1)
print(json.dumps({step.label: code_digests(*step.entries) for step in plan.steps}))
"""


def digests(code: Path) -> dict[str, dict[str, str]]:
    import json

    done = subprocess.run([sys.executable, "-c", DIGESTS], cwd=code, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_editing_a_member_changes_the_key_of_that_member_alone(tmp_path: Path) -> None:
    """Its folder once was in its key: a comment aside, editing the Gaussian process trained the encoder network."""
    shutil.copytree(ROOT / "pricing", tmp_path / "pricing", ignore=shutil.ignore_patterns("__pycache__"))
    before = digests(tmp_path)
    module = tmp_path / "pricing" / "members" / "gaussian_process.py"
    module.write_text(f"{module.read_text(encoding='utf-8')}\n\nNEW = 1\n", encoding="utf-8")
    after = digests(tmp_path)
    changed = {label.partition("-")[0] for label in before if before[label] != after[label]}
    # the last step explains prices with the member's own code
    assert changed == {"neural gaussian_process", "outputs"}
    assert before["neural multimodal-0"] == after["neural multimodal-0"]


def test_nothing_but_the_plan_and_its_runners_knows_the_order_of_steps() -> None:
    """Reading an attribute never submits work."""
    for path in (*(ROOT / "flows").glob("*.py"), *(ROOT / "tasks").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "__dict__"]
        assert "cached_property" not in path.read_text(encoding="utf-8"), path
