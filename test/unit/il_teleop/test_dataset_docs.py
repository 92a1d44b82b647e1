"""The mappings in docs/datasets.md are mappings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from il_core.config import from_mapping
from il_teleop.dataset.bag_in import BagMapping
from il_teleop.dataset.mapping import Mapping

TEXT = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text()


@pytest.mark.parametrize(("name", "kind"), [("lerobot", Mapping), ("robomimic", Mapping), ("bag", BagMapping)])
def test_the_examples_of_the_docs_are_valid(name, kind):
    (block,) = re.findall(rf"```yaml\n# {name}\n(.*?)```", TEXT, re.DOTALL)
    values = yaml.safe_load(block)
    loaded = from_mapping(kind, values, name)
    assert set(loaded.cameras) == set(values["cameras"])
