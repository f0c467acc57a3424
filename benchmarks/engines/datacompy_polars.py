"""datacompy's Polars comparison, from the raw files. It knows one row a side and key: splits it cannot express.

It ignores case and outer blanks itself; inner blanks, empty texts and the clock are prepared for it, and duplicates are told apart before,
because it would pair them by their position. About splits it says nothing. Its tolerance is a float, so a millionth of slack is added.
"""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import datacompy
import polars as pl

Field = dict[str, Any]


def reconcile(folder: Path, out: Path) -> None:
    """Compare what has one row on each side; an order that is there twice is a duplicate."""
    fields: list[Field] = json.loads((folder / "fields.json").read_text())
    salesforce = _side(folder / "salesforce.parquet", fields)
    d365 = _side(folder / "d365.parquet", fields)
    several, duplicates = (
        pl.concat([side.filter(pl.struct(key).is_duplicated()).select("key") for side in (salesforce, d365)]).unique()
        for key in (["key"], ["key", "order_key"])
    )
    salesforce, d365 = (side.join(several, on="key", how="anti").drop("order_key") for side in (salesforce, d365))
    tolerances = {field["name"]: float(field["tolerance"]) + 1e-6 for field in fields if field["tolerance"] is not None}
    compared = datacompy.PolarsCompare(
        salesforce,
        d365,
        join_columns="key",
        abs_tol={"default": 0, **tolerances},
        rel_tol=0,
        ignore_spaces=True,
        ignore_case=True,
    )
    names = [pl.when(~pl.col(f"{field['name']}_match")).then(pl.lit(field["name"])) for field in fields]
    pairs = compared.intersect_rows.select(
        "key", pl.concat_str(*names, separator=",", ignore_nulls=True).alias("fields")
    )
    judged = [
        pairs.select(
            "key",
            pl.when(pl.col("fields") == "").then(pl.lit("matched")).otherwise(pl.lit("differs")).alias("verdict"),
            pl.when(pl.col("fields") != "").then("fields").alias("fields"),
        )
    ]
    for rows, verdict in (
        (compared.df1_unq_rows, "only_in_salesforce"),
        (compared.df2_unq_rows, "only_in_d365"),
        (duplicates, "duplicate"),
    ):
        judged.append(rows.select("key", pl.lit(verdict).alias("verdict"), pl.lit(None, pl.String).alias("fields")))
    pl.concat(judged).write_parquet(out)


def _side(path: Path, fields: list[Field]) -> pl.DataFrame:
    key = pl.coalesce("reference", "order_key").alias("key")
    return (
        pl.scan_parquet(path)
        .select(key, "order_key", *(_prepared(field) for field in fields))
        .collect(engine="streaming")
    )


def _prepared(field: Field) -> pl.Expr:
    value = pl.col(field["name"])
    if field["kind"] == "text":
        collapsed = value.str.replace_all(r"\s+", " ")
        spaced = pl.when(value.str.contains("  ", literal=True)).then(collapsed).otherwise(value).str.strip_chars()
        return pl.when(spaced != "").then(spaced).alias(field["name"])
    return value.dt.epoch("us") if field["kind"] == "instant" else value
