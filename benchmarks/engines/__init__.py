"""One module for each engine that does the planted job, each with `reconcile(folder, out)`.

`folder` holds what `planted.plant` and `planted.land` wrote; the engine writes the Parquet file `out` with `key`, `verdict` and `fields` (names
of the fields that differ, commas between them). Each runs in a process of its own, some in an environment of their own, so none imports
anything of Tieout but `tieout.py`; what the fields are is in `fields.json`.
"""
