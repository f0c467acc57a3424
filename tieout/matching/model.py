"""The probabilistic model: how much each comparison of two parties speaks for their being the same (Fellegi-Sunter, by Splink on DuckDB).

The m-probabilities (how often a comparison agrees when two records are of the same company) are part of the package: they say how people type names
and addresses, which a small population cannot teach. They are rounded from an expectation maximisation over the list of Chicago sites
that `benchmarks/matching.py` measures on; the AdventureWorks masters had no part in it. The u-probabilities (how often strangers agree) depend on the population, so they are
estimated from it by random sampling with a fixed seed where it is large enough; term frequencies always are.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tieout.matching.exact import EXACT_RULES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEAST_FOR_U = 300
"""Records below which agreement between strangers is too rare to be counted; the shipped u-probabilities are used then."""
LEAST_FOR_PRIOR = 1_000
SEED = 20_260_327
_PAIRS_SAMPLED = 1_000_001  # at 1,000,000, its default, Splink writes a warning into every run


@dataclass(frozen=True, slots=True)
class Level:
    """One outcome of a comparison. `condition` is SQL over `<column>_l` and `<column>_r`; `words` says it to a person."""

    condition: str
    words: str
    m: float
    u: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison with its levels, best first; the last one, everything else, has the condition ELSE.

    `columns` are compared; `shown` are the stored values behind them, which a person is shown.
    """

    name: str
    columns: tuple[str, ...]
    shown: tuple[str, ...]
    levels: tuple[Level, ...]
    by_frequency: str = ""


def _same(column: str) -> str:
    return f"{column}_l = {column}_r"


def _alike(column: str, least: float) -> str:
    return f"jaro_winkler_similarity({column}_l, {column}_r) >= {least}"


_SHARED = "len(list_intersect(words_l, words_r))"
_FEWER, _MORE = "least(len(words_l), len(words_r))", "greatest(len(words_l), len(words_r))"

COMPARISONS = (
    Comparison(
        "name",
        ("core", "words"),
        ("name",),
        (
            Level(_same("core"), "the same name", 0.53, 0.0010),
            Level(
                f"{_alike('core', 0.94)} OR ({_SHARED} = {_MORE} AND {_MORE} > 1)", "nearly the same name", 0.13, 0.0012
            ),
            Level(f"{_SHARED} = {_FEWER} AND {_FEWER} > 1", "one name holds the other", 0.11, 0.0015),
            Level(f"{_alike('core', 0.86)} OR {_SHARED} >= 2", "a similar name", 0.17, 0.0260),
            Level("ELSE", "another name", 0.06, 0.9703),
        ),
        "core",
    ),
    Comparison(
        "street",
        ("street", "house"),
        ("street",),
        (
            Level(_same("street"), "the same street", 0.52, 0.0010),
            Level(
                f"house_l = house_r AND {_alike('street', 0.85)}",
                "nearly the same street and the same number",
                0.22,
                0.0012,
            ),
            Level(_alike("street", 0.9), "a similar street", 0.06, 0.0080),
            Level("ELSE", "another street", 0.20, 0.9898),
        ),
        "street",
    ),
    # One comparison for both: a postal code lies in a city, and would count twice beside it.
    Comparison(
        "place",
        ("place",),
        ("postal_code", "city"),
        (
            Level(_same("postal_code"), "the same postal code", 0.88, 0.0200),
            Level(_same("city"), "the same city", 0.07, 0.0400),
            Level("ELSE", "another place", 0.05, 0.9400),
        ),
    ),
    Comparison(
        "phone",
        ("phone",),
        ("phone",),
        (
            Level(_same("phone"), "the same phone number", 0.72, 0.0008),
            Level("ELSE", "another phone number", 0.28, 0.9992),
        ),
        "phone",
    ),
    Comparison(
        "e-mail",
        ("email",),
        ("email",),
        (
            Level(_same("email"), "the same e-mail", 0.60, 0.0005),
            Level("split_part(email_l, '@', 2) = split_part(email_r, '@', 2)", "the same e-mail domain", 0.20, 0.0100),
            Level("ELSE", "another e-mail", 0.20, 0.9895),
        ),
    ),
    Comparison(
        "tax number",
        ("tax_number",),
        ("tax_number",),
        (
            Level(_same("tax_number"), "the same tax number", 0.95, 0.0002),
            Level("ELSE", "another tax number", 0.05, 0.9998),
        ),
    ),
)

BLOCKS = (
    "l.phone = r.phone",
    "l.core = r.core",
    "l.street = r.street AND l.city IS NOT DISTINCT FROM r.city",
    "l.postal_code = r.postal_code AND substr(l.core, 1, 3) = substr(r.core, 1, 3)",
    "l.postal_code = r.postal_code AND l.house = r.house",
    "l.house = r.house AND substr(l.street, 1, 8) = substr(r.street, 1, 8)",
    "l.email = r.email",
    "l.tax_number = r.tax_number",
)
"""Pairs that agree in none of these are not looked at: comparing everybody with everybody grows with the square."""
_RULES = tuple(" AND ".join(f"l.{column} = r.{column}" for column in rule.columns) for rule in EXACT_RULES)


@dataclass(frozen=True, slots=True)
class Scored:
    """One pair: `weight` in bits (log2 of the odds), and per comparison its level's words and what it adds to the weight."""

    left: str
    right: str
    weight: float
    probability: float
    parts: tuple[tuple[str, str, float], ...]


def score(
    con: "DuckDBPyConnection",
    left: str,
    right: str | None,
    *,
    exact: str,
    least_probability: float,
    records: int,
    is_one_company: bool = False,
    seed: int = SEED,
) -> list[Scored]:
    """Score the pairs of two relations, or the doubles inside `left`; both as `party_select` makes them, in tables of `con`.

    `exact`: table of the pairs (left_key, right_key) that a rule has found; they are scored whatever comes of it. All others are left out
    below `least_probability`. `records`: rows of both together. `is_one_company`: only pairs of one company are looked at.
    The result is the same each time, best pairs first.
    """
    from splink import DuckDBAPI, Linker  # imported here: takes a second, and only matching needs it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api = DuckDBAPI(con)
        tables = [api.register(name) for name in ([left] if right is None else [left, right])]
        linker = Linker(
            tables if right is not None else tables[0],
            _settings(right is None, records, is_one_company),
            log_level=None,
        )
        if records >= LEAST_FOR_U:
            linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS_SAMPLED, seed=seed)
        predicted = linker.inference.predict(threshold_match_probability=least_probability).physical_name
        rows = _rows(con, predicted)
        wanted = set(con.execute(f"SELECT left_key, right_key FROM {exact}").fetchall()) - {row[:2] for row in rows}
        if wanted:
            # The same model again, on the few pairs that the rules block: what the model thinks of a pair does not hide what a rule found.
            settings = linker.misc.save_model_to_json()
            settings["blocking_rules_to_generate_predictions"] = [
                {"blocking_rule": rule, "sql_dialect": "duckdb"} for rule in _blocks(_RULES, is_one_company)
            ]
            again = Linker(tables if right is not None else tables[0], settings, log_level=None)
            found = _rows(con, again.inference.predict(threshold_match_probability=None).physical_name, only=exact)
            rows += [row for row in found if row[:2] in wanted]
            rows.sort(key=lambda row: (-row[2], row[0], row[1]))
    return [_scored(row) for row in rows]


def _rows(con: "DuckDBPyConnection", predicted: str, only: str | None = None) -> list[tuple[Any, ...]]:
    columns = [_column(comparison.name) for comparison in COMPARISONS]
    selected = ", ".join(f"gamma_{name}, mw_{name}" for name in columns)
    adjusted = {c.name for c in COMPARISONS if c.by_frequency}
    frequencies = ", ".join(f"mw_tf_adj_{_column(c.name)}" if c.name in adjusted else "0.0" for c in COMPARISONS)
    semi = f"SEMI JOIN {only} ON left_key = unique_id_l AND right_key = unique_id_r" if only else ""
    return con.execute(
        f"""SELECT unique_id_l, unique_id_r, match_weight, match_probability, [{frequencies}], {selected} FROM {predicted} {semi}
ORDER BY match_weight DESC, unique_id_l, unique_id_r"""
    ).fetchall()


def _scored(row: tuple[Any, ...]) -> Scored:
    left, right, weight, probability, frequencies, *figures = row
    parts = []
    for number, comparison in enumerate(COMPARISONS):
        gamma, added = figures[2 * number], figures[2 * number + 1]
        if gamma == -1:
            continue
        level = comparison.levels[len(comparison.levels) - 1 - gamma]
        parts.append((comparison.name, level.words, float(added) + float(frequencies[number] or 0.0)))
    return Scored(left, right, float(weight), float(probability), tuple(parts))


def _settings(is_dedupe: bool, records: int, is_one_company: bool) -> Any:
    from splink import SettingsCreator

    return SettingsCreator(
        link_type="dedupe_only" if is_dedupe else "link_only",
        unique_id_column_name="unique_id",
        # One true partner for each record is what is expected; the odds against it grow with the population. In a small one a
        # neighbour would be taken for the company itself, so nobody is given better odds than in one of LEAST_FOR_PRIOR.
        probability_two_random_records_match=1.0 / max(records, LEAST_FOR_PRIOR),
        blocking_rules_to_generate_predictions=_blocks(BLOCKS, is_one_company),
        comparisons=[_comparison(each) for each in COMPARISONS],
        retain_intermediate_calculation_columns=True,
        retain_matching_columns=True,
    )


def _blocks(rules: Sequence[str], is_one_company: bool) -> list[Any]:
    return [f"{rule} AND l.company = r.company" if is_one_company else rule for rule in rules]


def _comparison(comparison: Comparison) -> Any:
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    first = comparison.columns[0]
    made: list[Any] = [levels.NullLevel(first)]
    for number, level in enumerate(comparison.levels):
        one: Any = levels.ElseLevel() if level.condition == "ELSE" else levels.CustomLevel(level.condition, level.words)
        options: dict[str, Any] = {"m_probability": level.m, "u_probability": level.u, "fix_m_probability": True}
        if number == 0 and comparison.by_frequency:
            options["tf_adjustment_column"] = comparison.by_frequency
        made.append(one.configure(**options))
    return CustomComparison(output_column_name=_column(comparison.name), comparison_levels=made)


def _column(name: str) -> str:
    return name.replace(" ", "_").replace("-", "")
