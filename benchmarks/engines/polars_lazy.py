"""Polars, lazy and streaming, from the raw files: one join with a bit a field, then another look at the keys that occur more than once."""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import polars as pl

Field = dict[str, Any]


def reconcile(folder: Path, out: Path) -> None:
    """Judge single pairs from the join, repeated keys from sums."""
    fields: list[Field] = json.loads((folder / "fields.json").read_text())
    salesforce = _side(folder / "salesforce.parquet", pl.col("order_key"), fields)
    d365 = _side(folder / "d365.parquet", pl.coalesce("reference", "order_key"), fields)
    joined = (
        salesforce.join(d365, on="key", how="full", suffix="_d365")
        .select(
            pl.coalesce("key", "key_d365").alias("key"),
            pl.col("key").is_not_null().alias("in_sf"),
            pl.col("key_d365").is_not_null().alias("in_d365"),
            _mask(fields, {field["name"]: pl.col(f"{field['name']}_d365") for field in fields}),
        )
        .collect(engine="streaming")
    )
    is_repeated = pl.col("key").is_duplicated()
    repeated = joined.filter(is_repeated).select("key").unique().lazy()
    single = joined.filter(~is_repeated).select("key", _verdict(pl.lit(False)).alias("verdict"), "mask")
    several = _repeated_groups(
        salesforce.join(repeated, on="key", how="semi"), d365.join(repeated, on="key", how="semi"), fields
    )
    judged = pl.concat([single, several.collect(engine="streaming")])
    judged.select("key", "verdict", _names(fields)).write_parquet(out)


def _repeated_groups(salesforce: pl.LazyFrame, d365: pl.LazyFrame, fields: list[Field]) -> pl.LazyFrame:
    additive = [field["name"] for field in fields if field["is_additive"]]
    sums = [
        pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).cast(pl.Decimal(18, 2)).alias(f"sum_{name}")
        for name in additive
    ]
    delivered = d365.group_by("key").agg(pl.len().alias("rows"), pl.col("order_key").n_unique().alias("orders"), *sums)
    copies = salesforce.group_by("key").agg(pl.len().alias("copies"))
    compared = {name: pl.col(f"sum_{name}") for name in additive} | {
        field["name"]: pl.col(f"{field['name']}_d365") for field in fields if not field["is_additive"]
    }
    return (
        salesforce.join(d365, on="key", how="full", suffix="_d365")
        .with_columns(pl.col("key").is_not_null().alias("in_sf"), pl.col("key_d365").is_not_null().alias("in_d365"))
        .with_columns(pl.coalesce("key", "key_d365").alias("key"))
        .join(delivered, on="key", how="left")
        .join(copies, on="key", how="left")
        .select(
            "key",
            "in_sf",
            "in_d365",
            ((pl.col("copies") > 1) | (pl.col("orders") < pl.col("rows"))).fill_null(False).alias("is_twice"),
            _mask(fields, compared),
        )
        .group_by("key")
        .agg(pl.col("in_sf").any(), pl.col("in_d365").any(), pl.col("is_twice").any(), pl.col("mask").bitwise_or())
        .select("key", _verdict(pl.col("is_twice")).alias("verdict"), "mask")
    )


def _verdict(is_twice: pl.Expr) -> pl.Expr:
    return (
        pl.when(is_twice)
        .then(pl.lit("duplicate"))
        .when(~pl.col("in_d365"))
        .then(pl.lit("only_in_salesforce"))
        .when(~pl.col("in_sf"))
        .then(pl.lit("only_in_d365"))
        .when(pl.col("mask") == 0)
        .then(pl.lit("matched"))
        .otherwise(pl.lit("differs"))
    )


def _names(fields: list[Field]) -> pl.Expr:
    bits = [
        pl.when(pl.col("mask") & (1 << position) != 0).then(pl.lit(field["name"]))
        for position, field in enumerate(fields)
    ]
    listed = pl.concat_str(*bits, separator=",", ignore_nulls=True)
    return pl.when(pl.col("verdict") == "differs").then(listed).alias("fields")


def _mask(fields: list[Field], d365: dict[str, pl.Expr]) -> pl.Expr:
    """One bit for each field that differs."""
    bits = [
        _differs(field, d365[field["name"]]).cast(pl.Int64) * (1 << position) for position, field in enumerate(fields)
    ]
    return pl.sum_horizontal(bits).alias("mask")


def _side(path: Path, key: pl.Expr, fields: list[Field]) -> pl.LazyFrame:
    return pl.scan_parquet(path).select(key.alias("key"), "order_key", *(_canonical(field) for field in fields))


def _canonical(field: Field) -> pl.Expr:
    value = pl.col(field["name"])
    match field["kind"]:
        case "text":
            collapsed = value.str.replace_all(r"\s+", " ")
            spaced = pl.when(value.str.contains("  ", literal=True)).then(collapsed).otherwise(value)
            typed = spaced.str.strip_chars().str.to_lowercase()
            return pl.when(typed != "").then(typed).alias(field["name"])
        case "code" | "email":
            return value.str.strip_chars().str.to_lowercase()
        case "instant":
            return value.dt.epoch("us")
    return value


def _differs(field: Field, d365: pl.Expr) -> pl.Expr:
    salesforce = pl.col(field["name"])
    if field["tolerance"] is None:
        return salesforce.ne_missing(d365)
    outside = (salesforce - d365).abs() > _tolerance(field)
    return outside.fill_null(salesforce.ne_missing(d365))


def _tolerance(field: Field) -> pl.Expr:
    if field["kind"] == "instant":
        return pl.lit(int(field["tolerance"]))
    scale = len(field["tolerance"].partition(".")[2])
    return pl.lit(field["tolerance"]).str.to_decimal(scale=scale)
