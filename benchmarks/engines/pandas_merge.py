"""pandas with Arrow types, from the raw files: a careful merge, field by field, then another look at the keys that occur more than once."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

Field = dict[str, Any]


def reconcile(folder: Path, out: Path) -> None:
    """Judge single pairs from the merge, repeated keys from sums."""
    fields: list[Field] = json.loads((folder / "fields.json").read_text())
    salesforce = _side(folder / "salesforce.parquet", fields)
    d365 = _side(folder / "d365.parquet", fields)
    twice = salesforce["key"][salesforce["key"].duplicated(keep=False)]
    several = d365["key"][d365["key"].duplicated(keep=False)]
    repeated = pd.Index(pd.concat([twice, several]).unique())
    salesforce_repeated = salesforce["key"].isin(repeated)
    d365_repeated = d365["key"].isin(repeated)
    single = salesforce[~salesforce_repeated].merge(
        d365[~d365_repeated], on="key", how="outer", suffixes=("_sf", "_d365"), indicator=True
    )
    judged = [
        _judge_single(single, fields),
        _judge_repeated(salesforce[salesforce_repeated], d365[d365_repeated], fields),
    ]
    pd.concat(judged).to_parquet(out, index=False)


def _judge_single(pairs: pd.DataFrame, fields: list[Field]) -> pd.DataFrame:
    both = pairs[pairs["_merge"] == "both"]
    names = _names(both, fields)
    verdicts = names.ne("").map({True: "differs", False: "matched"})
    listed = [pd.DataFrame({"key": both["key"], "verdict": verdicts, "fields": names.where(names.ne(""))})]
    for side, verdict in (("left_only", "only_in_salesforce"), ("right_only", "only_in_d365")):
        listed.append(pd.DataFrame({"key": pairs["key"][pairs["_merge"] == side], "verdict": verdict, "fields": None}))
    return pd.concat(listed)


def _judge_repeated(salesforce: pd.DataFrame, d365: pd.DataFrame, fields: list[Field]) -> pd.DataFrame:
    additive = [field["name"] for field in fields if field["is_additive"]]
    is_twice = set(salesforce["key"][salesforce["key"].duplicated()]) | set(
        d365["key"][d365.duplicated(["key", "order_key"])]
    )
    sums = d365.groupby("key")[additive].sum(min_count=1)
    parts = d365.drop(columns=additive).merge(sums, left_on="key", right_index=True)
    pairs = salesforce.merge(parts, on="key", how="inner", suffixes=("_sf", "_d365"))
    flags = pd.DataFrame({field["name"]: _differs(pairs, field) for field in fields})
    flags["key"] = pairs["key"]
    by_key = flags.groupby("key").any()
    names = _joined(by_key, fields)
    verdicts = names.ne("").map({True: "differs", False: "matched"})
    verdicts[by_key.index.isin(list(is_twice))] = "duplicate"
    judged = pd.DataFrame({"key": by_key.index, "verdict": verdicts.to_numpy(), "fields": names.to_numpy()})
    judged["fields"] = judged["fields"].where(judged["verdict"] == "differs")
    return judged


def _side(path: Path, fields: list[Field]) -> pd.DataFrame:
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    frame["key"] = frame["reference"].fillna(frame["order_key"])
    for field in fields:
        name = field["name"]
        match field["kind"]:
            case "text":
                value = frame[name]
                spaced = value.str.contains("  ", regex=False).fillna(False)
                if spaced.any():
                    value = value.where(
                        ~spaced, value[spaced].str.replace(r"\s+", " ", regex=True).reindex(value.index)
                    )
                value = value.str.strip().str.lower()
                frame[name] = value.where(value.ne(""))
            case "code" | "email":
                frame[name] = frame[name].str.strip().str.lower()
    return frame.drop(columns="reference")


def _names(pairs: pd.DataFrame, fields: list[Field]) -> pd.Series:
    return _joined(pd.DataFrame({field["name"]: _differs(pairs, field) for field in fields}), fields)


def _joined(flags: pd.DataFrame, fields: list[Field]) -> pd.Series:
    names = pd.Series("", index=flags.index, dtype="object")
    for field in fields:
        found = flags[field["name"]].to_numpy(dtype=bool)
        names[found] = names[found] + "," + field["name"]
    return names.str.removeprefix(",")


def _differs(pairs: pd.DataFrame, field: Field) -> pd.Series:
    salesforce, d365 = pairs[f"{field['name']}_sf"], pairs[f"{field['name']}_d365"]
    one_empty = salesforce.isna() != d365.isna()
    if field["tolerance"] is None:
        return salesforce.ne(d365).fillna(False).astype(bool) | one_empty
    if field["kind"] == "instant":
        outside = (salesforce - d365).abs() > pd.Timedelta(microseconds=int(field["tolerance"]))
    else:
        # Binary floats call 0.01 more than 0.01 in most cases; a millionth of slack makes the answer right.
        outside = (salesforce.astype("double[pyarrow]") - d365.astype("double[pyarrow]")).abs() > float(
            field["tolerance"]
        ) + 1e-6
    return outside.fillna(False).astype(bool) | one_empty
