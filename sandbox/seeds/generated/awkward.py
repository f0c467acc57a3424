"""Texts that break careless software: names with quotes, formulas, mark-up, other scripts, and what is too long."""

NAMES = (
    '=HYPERLINK("http://shop.example","Click") Ltd',
    "O'Reilly & Sons",
    'The "Golden Gear" Company',
    "Café Crème 🚲☕ Vélos",
    "Robert'); DROP TABLE accounts;-- Ltd",
    "<b>Bold</b> Bikes <script>alert(1)</script>",
    "شركة الدراجات الحديثة",
    'אופניים תל אביב בע"מ',
    "+44 Cycles",
    "@SUM(A1:A9) Sports",
    "-Minus Trading",
    "Łódź Żółw & Spółka 自行车",
    "Tab\tand; semicolon, comma | pipe",
    "Back\\slash / Slash % Percent_",
)

LONG_NAME = (
    "Vereinigte Werkstätten für Fahrradtechnik, Rahmenbau, Getriebe und Zubehör Rhein-Main-Neckar-Saar-Pfalz "
    "Verwaltungsgesellschaft mbH & Co. KG"
)
"""Longer than the 100 characters that D365 has for a name."""

LONG_PURCHASE_ORDER = "PO-2025-CENTRAL-PURCHASING-{number:06d}"
"""34 characters; D365 has 20 for a requisition number, Salesforce 40."""

NOT_A_NUMBER = "n/a"
UNKNOWN_CURRENCY = "XXX"

ACCENTED_STREETS = ("Königsteiner Straße {number}", "{number}, rue de la République", "Kurfürstenstraße {number}")
