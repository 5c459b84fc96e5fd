"""Read YAML files strictly: what is wrong is said once, with file, key path, what was expected and what came."""

from collections.abc import Hashable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from emulator.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class Spec(BaseModel):
    """Base of everything read from a file: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1)


def load_model(path: Path, model: type[Model], what: str, overrides: Mapping[str, Any] | None = None) -> Model:
    """Read ``path`` as a ``model``.

    Args:
        path: the YAML file.
        model: the pydantic model that it must match.
        what: what the file should be, in words, for messages ("a chip").
        overrides: values that replace the file's, by dotted key (see ``replace_keys``).

    Raises:
        ConfigError: the file is missing, malformed, or does not match; lists every problem. Or it has no key that an
            override would replace.
    """
    return validate_data(path, replace_keys(path, read_yaml(path, what), overrides or {}), model, what)


def validate_data(path: Path, data: object, model: type[Model], what: str) -> Model:
    """Check what stood in ``path`` (as it came, or with keys replaced) as a ``model``.

    Raises:
        ConfigError: the data do not match; lists every problem.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping with {what}, got {_kind(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_describe(detail, model, data) for detail in _causes(error)]
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems)) from None


def replace_keys(path: Path, data: object, overrides: Mapping[str, Any]) -> object:
    """Return ``data`` with values replaced; nothing is changed in place.

    Args:
        path: where the data stood, for messages.
        data: what ``read_yaml`` gave.
        overrides: new values by dotted key, such as ``hbm.width`` or ``topology.levels.0.width``. The key must be
            there; a key of the file that itself holds dots is found, too.

    Raises:
        ConfigError: a key is not there; names it and the keys that are.
    """
    for key, value in overrides.items():
        data = _replace(path, data, key, value, done="")
    return data


def effective_text(path: Path, what: str, overrides: Mapping[str, Any]) -> str:
    """Return the text of a file as if it held ``overrides``: as it stands if there are none, else without comments.

    Raises:
        ConfigError: as ``read_yaml`` and ``replace_keys``.
    """
    if not overrides:
        return _read_text(path, what)
    return yaml.safe_dump(replace_keys(path, read_yaml(path, what), overrides), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path, what: str) -> object:
    """Read a YAML file in which no mapping's key repeats.

    Raises:
        ConfigError: the file is missing, unreadable or malformed.
    """
    text = _read_text(path, what)
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 (a safe loader, with a check added)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown place"
        raise ConfigError(f"{path}: malformed YAML at {where}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: malformed YAML: {error}") from None


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a YAML file with {what}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from None


def _replace(path: Path, data: object, key: str, value: object, *, done: str) -> object:
    """Replace ``key`` below ``data``, which stands at ``done`` in the file."""
    items: dict[str, Any] = {}
    if isinstance(data, dict):
        items = {str(name): name for name in data}
    elif isinstance(data, list):
        items = {str(index): index for index in range(len(data))}
    steps = key.split(".")
    heads = (".".join(steps[:n_steps]) for n_steps in range(len(steps), 0, -1))  # a name may hold dots: longest first
    head = next((head for head in heads if head in items), None)
    if head is None:
        whole = f"{done}.{key}" if done else key
        there = f"known keys: {', '.join(items)}" if items else f"there is {_kind(data)}, which has no keys"
        raise ConfigError(f"{path}: {whole}: unknown key; {done or 'the file'}: {there}")
    rest = key[len(head) + 1 :]
    if rest:
        value = _replace(path, data[items[head]], rest, value, done=f"{done}.{head}" if done else head)  # type: ignore[index]
    if isinstance(data, list):
        return [*data[: items[head]], value, *data[items[head] + 1 :]]
    return {**data, items[head]: value}  # type: ignore[dict-item]


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Leave out what follows from another problem: a list without its wrong entries is too short, say."""
    details = error.errors(include_url=False)
    within = {detail["loc"][:n_steps] for detail in details for n_steps in range(len(detail["loc"]))}
    return [detail for detail in details if detail["loc"] not in within]


def _describe(detail: ErrorDetails, model: type[BaseModel], data: dict[str, Any]) -> str:
    """Say one problem in a sentence of our own."""
    location, kind, came = detail["loc"], detail["type"], detail["input"]
    path, context = _key_path(location, data), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_suggest(str(location[-1]), _known_keys(model, location[:-1]))}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        came_tag = f"'{context['tag']}'" if "tag" in context else "nothing"
        tag_path = f"{path}.{str(context['discriminator']).strip(chr(39))}"
        return f"{tag_path}: expected one of {context.get('expected_tags', 'the known kinds')}, got {came_tag}"
    sentences = {
        "missing": "this key is missing",
        "value_error": str(context.get("error")),
        "greater_than_equal": f"expected a number of at least {context.get('ge')}, got {came!r}",
        "less_than_equal": f"expected a number of at most {context.get('le')}, got {came!r}",
        "literal_error": f"expected {context.get('expected')}, got {came!r}",
        "model_type": f"expected a mapping, got {_kind(came)}",
        "dict_type": f"expected a mapping, got {_kind(came)}",
        "tuple_type": f"expected a list, got {_kind(came)}",
        "too_short": f"expected a list with at least {context.get('min_length')} in it, got {came!r}",
    }
    otherwise = f"{detail['msg'].replace('Input should be', 'expected')}, got {_kind(came)}"
    return f"{path}: {sentences.get(kind, otherwise)}"


def _suggest(key: str, known: list[str]) -> str:
    guess = get_close_matches(key, known, 1)
    if guess:
        return f"; did you mean '{guess[0]}'?"
    return f"; known keys: {', '.join(known)}" if known else ""


def _key_path(location: tuple[int | str, ...], data: Any) -> str:  # noqa: ANN401 (whatever stands in the file)
    """Write a location as ``cluster.ima.rows`` or ``levels[0].width``, without the tags of unions."""
    parts = ""
    for step in location:
        if isinstance(step, int):
            parts += f"[{step}]"
            data = data[step] if isinstance(data, list) and step < len(data) else None
            continue
        if isinstance(data, dict) and step not in data and step in (data.get("kind"), data.get("technology")):
            continue
        parts += f".{step}" if parts else step
        data = data.get(step) if isinstance(data, dict) else None
    return parts or "the file"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """List the keys that a mapping at ``location`` may have, as far as the models tell."""
    models = [model]
    for step in location:
        tagged = [member for member in models if step in _tags(member)]
        fields = [f for member in models for name, f in member.model_fields.items() if step in (name, f.alias)]
        models = tagged or [member for field in fields for member in _models_in(field.annotation)]
    return [field.alias or name for member in models for name, field in member.model_fields.items()]


def _tags(model: type[BaseModel]) -> set[object]:
    """Return what the fields say that tell the members of a union apart."""
    return {tag for field in model.model_fields.values() for tag in get_args(field.annotation)}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    inner = get_args(annotation) or (annotation,)
    return [member for member in inner if isinstance(member, type) and issubclass(member, BaseModel)]


def _kind(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return repr(value)
