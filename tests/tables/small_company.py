"""A company small enough to read, with the odd record first: an id that looks like a number."""

from collections.abc import Callable
from pathlib import Path

COMPANY = {
    "stages": """\
pipeline,stage,position,kind,default_probability,label
sales,first call,1,open,0.1,First call
sales,offer,2,open,0.5,Offer
sales,won,3,won,1,Won
sales,lost,4,lost,0,Lost
renewals,offer,1,open,,
renewals,won,2,won,,
""",
    "deals": """\
deal_id,pipeline,motion,created_at,account_id,source,owner_id,amount,currency,expected_close_on,forecast_category,budget,authority,need,timeline,industry
007,sales,new,2025-01-13T09:00:00Z,A1,referral,ana,24000,EUR,2025-04-11,,1,1,1,0.5,toys
9007199254740993,,,2025-02-03T10:30:00Z,NA,inbound,bruno,8000.5,USD,,commit,,,,,"retail, fashion"
None,renewals,renewal,2025-03-01T00:00:00Z,A1,,ana,,,,,,,,,
""",
    "deal_events": """\
deal_id,recorded_at,field,value,actor
007,2025-01-13T09:00:00Z,stage,first call,ana
007,2025-01-13T09:00:00Z,amount,20000,ana
007,2025-01-20T09:00:00Z,expected_close_on,2025-04-11,ana
007,2025-02-20T09:00:00Z,stage,offer,ana
007,2025-02-20T09:05:00Z,budget,1,ana
007,2025-04-10T16:20:00Z,stage,won,ana
9007199254740993,2025-02-03T10:30:00Z,stage,offer,bruno
9007199254740993,2025-02-04T10:30:00Z,need,,bruno
None,2025-03-01T00:00:00Z,stage,offer,
None,2025-03-02T00:00:00Z,colour,red,
""",
    "activities": """\
deal_id,lead_id,occurred_at,kind,direction
007,,2025-01-20T10:00:00Z,call,out
,L-1,2025-01-21T10:00:00Z,email,
""",
    "users": """\
user_id,name,team,region,manager_id,email,active
ana,Ana Rossi,north,italy,,ana@example.com,
bruno,Bruno Conti,south,italy,ana,,false
""",
    "quotas": """\
level,entity,period,amount,currency
user,ana,2026Q1,40000,EUR
team,north,2026-01,85000,EUR
region,italy,2026,85000,EUR
company,*,2026Q1,115000,EUR
""",
    "leads": """\
lead_id,created_at,source,owner_id,account_id,budget,authority,need,timeline,converted_at,deal_id,disqualified_at
L-1,2025-01-02T09:00:00Z,event,ana,A4,,1,,,2025-01-13T09:00:00Z,007,
""",
    "fx_rates": """\
currency,valid_from,rate
USD,2025-01-01,0.96
USD,2025-07-01,0.85
""",
}

# company(deals=text) -> folder
Folder = Callable[..., Path]


def write_company(folder: Path, **changed: str | bytes | None) -> Path:
    """Write the company's files into a new folder; a table given as None is left out."""
    folder.mkdir()
    for table, text in (COMPANY | changed).items():
        if text is not None:
            (folder / f"{table}.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder
