"""What a dataclass says of its settings: words, ranges, and what may change while a node works."""

from dataclasses import dataclass, field, fields

import pytest

from il_core.errors import ConfigError
from il_core.parameters import check_ranges, descriptions, is_dynamic, limits, range_of, setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a kettle.

    More words: these are not an entry.

    Attributes:
        water_l: How much water [L];
            never more than fits.
        note: Free text: with a colon.
        power_w: Power [W].

    Examples:
        power_w: not this one
    """

    power_w: float = field(metadata=limits(100.0, 3000.0, is_dynamic=True))
    water_l: float = setting(1.0, 0.2, 1.7)
    note: str = ""

    def __post_init__(self):
        check_ranges(self, "kettle")


def test_descriptions_come_from_the_attributes_section_alone():
    assert descriptions(Settings) == {
        "water_l": "How much water [L]; never more than fits.",
        "note": "Free text: with a colon.",
        "power_w": "Power [W].",
    }


def test_a_docstring_without_that_section_describes_nothing():
    class Bare:
        """Attributes are not described."""

    assert descriptions(Bare) == {}


def test_fields_tell_their_range_and_whether_they_may_change():
    by_name = {f.name: f for f in fields(Settings)}
    assert str(range_of(by_name["water_l"])) == "within 0.2 and 1.7"
    assert range_of(by_name["note"]) is None
    assert {name for name, f in by_name.items() if is_dynamic(f)} == {"power_w"}


@pytest.mark.parametrize("value", [0.1, 1.71, float("nan")])
def test_a_value_outside_its_range_is_refused_with_both_ends(value):
    with pytest.raises(ConfigError, match="kettle: water_l must be within 0.2 and 1.7, got"):
        Settings(1000.0, water_l=value)


def test_the_ends_of_a_range_belong_to_it():
    assert Settings(100.0, water_l=1.7).power_w == 100.0


def test_half_a_range_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="both ends"):
        setting(1.0, low=0.0)
