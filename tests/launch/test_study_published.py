"""Published figures beside emulated ones."""

from typing import Any

import pytest

from emulator.errors import ConfigError
from launch.study_file import Study
from launch.study_published import Emulated, compare, comparisons_to_text

PUBLISHED = {"name": "a ratio", "figure": "rate", "case": "plain", "over": "slow", "value": 2.0, "source": "a test"}


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("images_per_secnd", "figure: 'images_per_secnd' is not in report.json; names at 'images_per_secnd': case,"),
        ("loss_factors.totl", "names at 'totl': global_mapping, local_mapping"),
        ("name", "figure: 'name' of report.json is no number"),
        ("name.length", "names at 'length': none"),
    ],
)
def test_a_published_figure_that_no_report_has_is_refused(figure: str, said: str) -> None:
    report = {"case": "plain", "name": "tiny", "loss_factors": {"global_mapping": 1.0, "local_mapping": 2.0}}
    study = Study.model_validate({"name": "s", "published": [{**PUBLISHED, "figure": figure}]})
    with pytest.raises(ConfigError, match=said):
        compare(study, {"plain": report, "slow": report})


@pytest.mark.parametrize("other", [{"rate": 0}, {"rate": None}, {"infeasible": "too small"}])
def test_a_ratio_to_nothing_is_left_out(other: dict[str, Any]) -> None:
    study = Study.model_validate({"name": "s", "published": [{**PUBLISHED, "figure": "rate"}]})
    (comparison,) = compare(study, {"plain": {"rate": 3}, "slow": other})
    assert comparison.emulated == (Emulated(None, None, None),)
    assert comparison.is_large


def test_names_and_large_figures_are_printed_as_they_are() -> None:
    variants = [{"name": "[red]v", "chip": {}}]
    published = [{**PUBLISHED, "case": "[b]c", "over": None, "figure": "rate", "value": 12_345.6, "shown_by": ["[b]c"]}]
    study = Study.model_validate({"name": "s", "variants": variants, "published": published})
    text = comparisons_to_text(compare(study, {"[b]c": {"rate": 23_456.7}, "[b]c, [red]v": {"rate": 0.123456}}))
    for words in ("[red]v", "12,346", "23,457", "0.1235", "[b]c: 23,457"):
        assert words in text
