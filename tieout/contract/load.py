"""Reads the contract files of a folder into checked contracts, or says everything that is wrong with them at once."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tieout.compared_field import Conversion, Exchange, Tolerance
from tieout.contract import source as yaml_source
from tieout.contract.mistakes import mistakes_in
from tieout.contract.model import (
    SETTLE_S,
    ContractModel,
    D365Side,
    FieldModel,
    LinesModel,
    SalesforceSide,
    System,
    ValueMapModel,
)
from tieout.contract.rates import ExchangeRate, read_rates
from tieout.contract.source import Path as KeyPath
from tieout.contract.source import Source
from tieout.contract.tables import (
    AfterDelivery,
    Contract,
    Contracts,
    Create,
    Field,
    Lines,
    Link,
    Side,
    ValueMap,
    column_type,
)
from tieout.errors import ContractError


def load_contracts(folder: Path) -> Contracts:
    """Read every `*.yaml` of `folder`, and its `exchange_rates.csv` where there is one.

    Raises ContractError whose message lists all mistakes of all files, one a line: `contracts/x.yaml:14: problem. Fix.`
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ContractError(f"{folder} holds no contract. Point TIEOUT_CONTRACTS at the folder with customer.yaml.")
    sources = {f"{folder.name}/{path.name}": yaml_source.read(path.read_text(encoding="utf-8")) for path in files}
    problems = {name: list(source.problems) for name, source in sources.items()}
    models: dict[str, ContractModel] = {}
    for name, source in sources.items():
        if source.data is None:
            continue
        try:
            models[name] = ContractModel.model_validate(source.data)
        except ValidationError as error:
            problems[name] += [told for each in error.errors() if (told := _told(each, source)) is not None]
    for name, path, text in mistakes_in({name: source.data for name, source in sources.items()}):
        problems[name].append((sources[name].line_of(path), text))
    rates, wrong_rates = read_rates(folder)
    sentences = [
        f"{name}:{line}: {text}" for name in sources for line, text in sorted(set(problems[name]))
    ] + wrong_rates
    if sentences:
        raise ContractError("\n".join(sentences))
    return _built(models, sources, rates)


def _told(error: ErrorDetails, source: Source) -> tuple[int, str] | None:
    """One finding of pydantic as (line, sentence); `None` where it only repeats another one."""
    path = source.path_of(error["loc"], is_missing=error["type"] == "missing")
    key = str(path[-1]) if path else "the file"
    line, given = source.line_of(path), _shown(error["input"])
    match error["type"]:
        case "none_required":
            return None  # the other half of "this, or absent"
        case "extra_forbidden":
            allowed = _keys_at(path[:-1])
            near = get_close_matches(key, allowed, n=1, cutoff=0.5)
            fix = f"Did you mean `{near[0]}`?" if near else f"Remove it, or use one of: {', '.join(allowed)}."
            return line, f"unknown key `{key}`. {fix}"
        case "missing":
            return line, f"`{key}` is missing{_inside(path)}. Add it."
        case "literal_error" if key == "owner" and isinstance(error["input"], list):
            return line, "a field has one owner: the other side is written or reported, never both. Name one system."
        case "literal_error":
            return line, f"`{key}: {given}` is not known. {_nearest_literal(error)}"
        case "value_error":
            return line, f"`{key}` {str(error['ctx']['error']).rstrip('.')}."
        case "string_pattern_mismatch":
            return line, f"`{key}: {given}` is not written as expected. {_fix_of_pattern(error['ctx']['pattern'])}"
        case "model_type" | "dict_type":
            return line, f"`{key}` must be a group of keys, not {given}. Indent its keys below it."
        case "too_short" | "string_too_short":
            return line, f"`{key}` is empty. Name at least one."
        case "greater_than":
            return line, f"`{key}: {given}` must be more than {error['ctx']['gt']}. Correct the number."
        case "greater_than_equal":
            return line, f"`{key}: {given}` must be {error['ctx']['ge']} at least. Correct the number."
    kind = error["type"].removesuffix("_type").removesuffix("_parsing")
    return line, f"`{key}: {given}` must be {_KINDS.get(kind, kind)}. Correct the value."


_KINDS = {"string": "text", "int": "a whole number", "bool": "true or false", "list": "a list"}


def _nearest_literal(error: ErrorDetails) -> str:
    allowed = [each.strip(" '") for each in error["ctx"]["expected"].replace(" or ", ",").split(",")]
    near = get_close_matches(str(error["input"]), allowed, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else f"Use one of: {', '.join(allowed)}."


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    if value is None:
        return "nothing"
    return "a group of keys" if isinstance(value, dict) else str(value)


def _inside(path: KeyPath) -> str:
    return f" in `{'.'.join(str(each) for each in path[:-1])}`" if len(path) > 1 else ""


def _fix_of_pattern(pattern: str) -> str:
    if pattern.startswith("^-?"):
        return 'Write a quoted decimal, such as "0.01".'
    if "[A-Za-z]" in pattern:
        return "Write an API name: letters, digits and underscores."
    return "Write small letters, digits and underscores."


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that the model allows where `path` ends."""
    kind: Any = ContractModel
    for step in path:
        model = _model_in(kind)
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        elif model is not None:
            kind = next(
                (info.annotation for name, info in model.model_fields.items() if (info.alias or name) == step), None
            )
    model = _model_in(kind)
    return (
        [info.alias or name for name, info in model.model_fields.items()]
        if model and get_origin(kind) is not dict
        else []
    )


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `ToleranceModel | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(each) for each in get_args(annotation)) if get_origin(annotation) is not dict else ()
    return next((each for each in inner if each is not None), None)


def _built(
    models: Mapping[str, ContractModel], sources: Mapping[str, Source], rates: Sequence[ExchangeRate]
) -> Contracts:
    maps = {
        (model.entity, name): _value_map(name, each) for model in models.values() for name, each in model.values.items()
    }
    return Contracts(
        {model.entity: _contract(name, model, sources[name], maps) for name, model in models.items()}, rates
    )


def _value_map(name: str, model: ValueMapModel) -> ValueMap:
    known = {each: each for each in model.known}
    return ValueMap(name, MappingProxyType({**known, **model.salesforce}), MappingProxyType({**known, **model.d365}))


_Maps = Mapping[tuple[str, str], ValueMap]


def _contract(file: str, model: ContractModel, source: Source, maps: _Maps) -> Contract:
    def fields(models: Mapping[str, FieldModel], *path: str) -> tuple[Field, ...]:
        return tuple(
            _field(name, each, model.entity, maps, f"{file}:{source.line_of((*path, name))}", models)
            for name, each in models.items()
        )

    return Contract(
        entity=model.entity,
        salesforce=_side(model, "salesforce", file, source),
        d365=_side(model, "d365", file, source),
        fields=fields(model.fields, "fields"),
        scope=MappingProxyType(dict(model.scope)),
        link=Link(**model.link.model_dump()),
        create=_create(model),
        values=MappingProxyType({name: maps[model.entity, name] for name in model.values}),
        lines=_lines(model.lines, fields(model.lines.fields, "lines", "fields"), file, source) if model.lines else None,
        file=file,
        after_delivery=AfterDelivery(**model.after_delivery.model_dump()) if model.after_delivery else AfterDelivery(),
    )


def _lines(model: LinesModel, fields: tuple[Field, ...], file: str, source: Source) -> Lines:
    return Lines(
        salesforce=_side(model, "salesforce", file, source, "lines"),
        d365=_side(model, "d365", file, source, "lines"),
        fields=fields,
        match_on=model.match_on,
        link=Link(**model.link.model_dump()),
        create=_create(model),
    )


def _create(model: ContractModel | LinesModel) -> Create:
    number = model.create.number
    return Create(
        number_prefix=number.prefix if number else None,
        number_from=number.from_ if number else None,
        constants=MappingProxyType(dict(model.create.constants)),
        number_given_by=number.given_by if number else "tieout",
        settle_s=number.settle_s if number and number.settle_s is not None else SETTLE_S,
    )


def _side(model: ContractModel | LinesModel, system: Any, file: str, source: Source, *above: str) -> Side:
    side: SalesforceSide | D365Side = getattr(model, system)
    return Side(
        system=system,
        source=side.object if isinstance(side, SalesforceSide) else side.entity_set,
        table=side.table,
        key=(side.key,) if isinstance(side, SalesforceSide) else tuple(side.key),
        version=side.version if isinstance(side, SalesforceSide) else None,
        parent=side.parent,
        extra=MappingProxyType(dict(side.extra)),
        where=MappingProxyType({name: f"{file}:{line}" for name, line in _mentions(model, system, source, above)}),
    )


def _mentions(
    model: ContractModel | LinesModel, system: str, source: Source, above: KeyPath
) -> Iterator[tuple[str, int]]:
    """Every column that one side names, with the line that names it."""
    side = getattr(model, system)
    base: KeyPath = (*above, system)
    yield "", source.line_of(base)
    for name in side.extra:
        yield name, source.line_of((*base, "extra", name))
    for key, name in model.link.model_dump().items():
        if name and (key == "reference") == (system == "d365"):
            yield name, source.line_of((*above, "link", key))
    if system == "salesforce" and model.create.number and model.create.number.from_:
        yield model.create.number.from_, source.line_of((*above, "create", "number", "from"))
    if system == "d365":
        for name in model.create.constants:
            yield name, source.line_of((*above, "create", "constants", name))
    for key in ("key", "version", "parent"):
        value = getattr(side, key, None)
        for name in value if isinstance(value, list) else [value] if value else []:
            yield name, source.line_of((*base, key))
    for field_name, each in model.fields.items():
        value = each.salesforce if system == "salesforce" else each.d365
        for name in value if isinstance(value, list) else [value] if value else []:
            yield name, source.line_of((*above, "fields", field_name, system))


def _field(
    name: str, model: FieldModel, entity: str, maps: _Maps, where: str, beside: Mapping[str, FieldModel]
) -> Field:
    """`beside`: the fields of the same record."""
    country = model.default_country
    owner, _, values = (model.values or "").rpartition(".")
    return Field(
        name=name,
        label=model.label or name.replace("_", " ").capitalize(),
        owner=model.owner,
        compare=model.compare,
        salesforce=model.salesforce,
        d365_columns=tuple(model.d365 or ()),
        d365_sum_of=model.d365_from_lines.sum if model.d365_from_lines else None,
        salesforce_via_product=model.salesforce_from_product,
        type=model.type or column_type(model.compare),
        required=model.required,
        positive=model.positive,
        max_length=model.max_length,
        tolerance=_tolerance(model),
        ignores_legal_form=model.legal_form == "ignored",
        region=country if country and len(country) == 2 else None,
        region_columns=MappingProxyType(_columns_of(beside.get(country or ""))),
        conversion=_conversion(model),
        exchange=Exchange(model.exchange.currency, model.exchange.date) if model.exchange else None,
        values=maps[owner or entity, values] if values else None,
        on_unknown=model.on_unknown,
        references=model.references,
        on_create=model.owner == "salesforce" if model.on_create is None else model.on_create,
        on_difference=model.on_difference,
        skip_when_empty=model.when_empty == "not_compared",
        empty_is=Decimal(model.empty_is) if model.empty_is is not None else None,
        where=where,
    )


def _tolerance(model: FieldModel) -> Tolerance | None:
    if model.tolerance is None:
        return None
    given = model.tolerance
    return Tolerance(
        Decimal(given.absolute) if given.absolute else None,
        Decimal(given.percent) if given.percent else None,
        given.days,
        given.seconds,
    )


def _conversion(model: FieldModel) -> Conversion | None:
    if model.conversion is None:
        return None
    factors = {unit: Decimal(factor) for unit, factor in model.conversion.factors.items()}
    return Conversion(model.conversion.unit, MappingProxyType(factors))


def _columns_of(model: FieldModel | None) -> dict[System, str]:
    """The column of a field on each side."""
    if model is None or not model.salesforce or not model.d365:
        return {}
    return {"salesforce": model.salesforce, "d365": model.d365[0]}
