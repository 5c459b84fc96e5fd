"""Published figures beside emulated ones."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from emulator.chip.load import load_chip
from emulator.errors import ConfigError
from launch.study_file import OF_CHIP, Study, load_study
from launch.study_published import Emulated, compare, comparisons_to_json, comparisons_to_text

ROOT = Path(__file__).parents[2]
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


def test_a_value_of_the_chip_file_is_taken_from_the_report_of_the_case() -> None:
    study = Study.model_validate({"name": "s", "published": [{**PUBLISHED, "value": "chip.tops", "over": None}]})
    of_chip = [{"figure": "tops", "published": 20.2}]
    (comparison,) = compare(study, {"plain": {"rate": 10.1, "published": of_chip}})
    assert comparison.published == 20.2
    assert comparison.emulated[0].deviation == pytest.approx(-0.5)
    (comparison,) = compare(study, {"plain": {"infeasible": "too small"}})
    assert comparisons_to_json([comparison])[0]["published"] is None
    assert "a ratio" in comparisons_to_text([comparison])
    for figures, said in (
        (of_chip, "publishes no 'speed' for its network; it publishes tops"),
        ([], "it publishes nothing"),
    ):
        study = Study.model_validate({"name": "s", "published": [{**PUBLISHED, "value": "chip.speed", "over": None}]})
        with pytest.raises(ConfigError, match=f"a ratio: value: the chip of case 'plain' .*{said}"):
            compare(study, {"plain": {"rate": 10.1, "published": figures}})


@pytest.mark.parametrize("value", [0, -1.5, "tops", "chip.", None, [1]])
def test_a_value_that_is_no_figure_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match=r"expected a number above 0, or 'chip\.' and a figure"):
        Study.model_validate({"name": "s", "published": [{**PUBLISHED, "value": value}]})


def test_what_the_study_of_the_paper_takes_from_the_chip_file_stands_there() -> None:
    study, _ = load_study(ROOT / "configs/studies/paper.yaml")
    published = load_chip(ROOT / "configs/chips/bruschi2023.yaml").published
    assert published is not None
    taken = {each.value for each in study.published if isinstance(each.value, str)}
    assert {"chip.images_per_second", "chip.tops", "chip.loss_factors.total"} <= taken
    assert taken <= {f"{OF_CHIP}{each.figure}" for each in published.figures}
