"""The comparison of two keyed canonical files at the speed of the disk: what it compares, how rows land for it, its SQL, its run."""

from tieout.keyed.canonical_file import (
    BUCKET,
    KEY_COLUMNS,
    SideColumns,
    bucket_of,
    canonical_select,
    write_buckets,
    write_canonical,
)
from tieout.keyed.comparison import KeyedComparison
from tieout.keyed.run import KeyedResult, SideTotal, compare, compare_buckets
from tieout.keyed.steps import Step, comparison_steps, result_steps

__all__ = [
    "BUCKET",
    "KEY_COLUMNS",
    "KeyedComparison",
    "KeyedResult",
    "SideColumns",
    "SideTotal",
    "Step",
    "bucket_of",
    "canonical_select",
    "compare",
    "compare_buckets",
    "comparison_steps",
    "result_steps",
    "write_buckets",
    "write_canonical",
]
