"""The partitions of history, order month × company, and the hash buckets of the bucketed comparison.

Frozen: changing the first month, the names of the dimensions or the number of buckets would orphan what Dagster remembers of earlier backfills.
"""

import dagster as dg

from tieout.settings import companies_with_history

FIRST_MONTH = "2010-01-01"

months = dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH, end_offset=1)
companies = dg.StaticPartitionsDefinition(companies_with_history())
month_and_company = dg.MultiPartitionsDefinition({"month": months, "company": companies})

BUCKETS = 16
buckets = dg.StaticPartitionsDefinition([f"{number:02}" for number in range(BUCKETS)])
