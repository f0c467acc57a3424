"""The partitions of history: order month × company.

Frozen: changing the first month or the names of the dimensions would orphan what Dagster remembers of earlier backfills.
"""

import dagster as dg

from tieout.settings import companies_with_history

FIRST_MONTH = "2010-01-01"

months = dg.MonthlyPartitionsDefinition(start_date=FIRST_MONTH, end_offset=1)
companies = dg.StaticPartitionsDefinition(companies_with_history())
month_and_company = dg.MultiPartitionsDefinition({"month": months, "company": companies})
