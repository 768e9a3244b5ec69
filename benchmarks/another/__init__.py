"""Another company with known truth, by other rules than `forecast.simulator`.

A model that was built beside one simulator may have learnt its habits. So here is a second one that shares
neither a line with the first nor its ideas: days instead of clocks, the quality of a deal on a continuous scale
instead of four kinds, activities that follow it, and no leads or renewals. `benchmarks.accuracy another` asks
everybody the same of it.

    company = another_company(deals=30_000, seed=1, moments=MONTHS)
    company.tables, company.truth_within(deal_ids, as_of, [30, 90])

`rules` says how fast things happen, `company` lets them happen day by day and keeps what each record says about
the hidden part, `truth` looks ahead from there.
"""

from __future__ import annotations

from benchmarks.another.company import AnotherCompany, another_company

__all__ = ["AnotherCompany", "another_company"]
