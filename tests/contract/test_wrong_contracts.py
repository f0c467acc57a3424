"""A contract that cannot be obeyed is refused with file, line, problem and way out, all mistakes at once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tieout.contract import load_contracts
from tieout.errors import ContractError

PROJECT = Path(__file__).resolve().parents[2]

Refusal = Callable[..., list[str]]


@pytest.fixture
def refusal_of(tmp_path: Path) -> Refusal:
    """Loads the project's contracts with changes (file, old, new) and returns the lines of the refusal."""
    folder = tmp_path / "contracts"
    shutil.copytree(PROJECT / "contracts", folder)

    def load(*changes: tuple[str, str, str]) -> list[str]:
        for name, old, new in changes:
            text = (folder / name).read_text(encoding="utf-8")
            assert old in text, f"{name} no longer holds {old!r}"
            (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(ContractError) as refused:
            load_contracts(folder)
        return str(refused.value).splitlines()

    return load


def line_of(name: str, text: str) -> int:
    """Line on which `text` stands in a contract of the project."""
    before, found, _ = (PROJECT / "contracts" / name).read_text(encoding="utf-8").partition(text)
    assert found
    return before.count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    max_length: 100\n", "    max_lenght: 100\n", "unknown key `max_lenght`. Did you mean `max_length`?"),
        ("    required: true\n", "    Required: true\n", "unknown key `Required`. Did you mean `required`?"),
        ("    compare: phone\n", "    compare: telephone\n", "`compare: telephone` is not known. Did you mean `phone`?"),
        ("    owner: salesforce\n", "    owner: both\n", "`owner: both` is not known. Use one of: salesforce, d365."),
        (
            "    owner: salesforce\n",
            "    owner: [salesforce, d365]\n",
            "a field has one owner: the other side is written or reported, never both. Name one system.",
        ),
        (
            "    compare: phone\n",
            "    compare: phone\n    tolerance: {absolute: \"0.01\"}\n",
            "`tolerance` does not fit `compare: phone`. Remove it, or compare as `money` or `quantity`.",
        ),
        (
            "absolute: \"0.01\"",
            "days: 2",
            "a tolerance of `days` does not fit `compare: money`. Use `absolute` or `percent`.",
        ),
        ("tolerance: {absolute: \"0.01\"}", "tolerance: {}", "the tolerance says nothing. Give `absolute` or `percent`, or remove it."),
        (
            "    compare: phone\n",
            "    compare: phone\n    legal_form: ignored\n",
            "`legal_form` does not fit `compare: phone`. Remove it, or compare as `text`.",
        ),
        (
            "    compare: phone\n",
            "    compare: phone\n    default_country: contry\n",
            "`contry` is neither two capital letters nor a field beside it. Did you mean `country`?",
        ),
        (
            "    compare: email\n",
            "    compare: email\n    default_country: DE\n",
            "`default_country` does not fit `compare: email`. Remove it, or compare as `phone`.",
        ),
        (
            "absolute: \"0.01\"",
            "absolute: \"-0.01\"",
            "a tolerance is a distance and cannot be negative: -0.01. Remove the sign.",
        ),
        (
            "absolute: \"0.01\"",
            "absolute: 0.01",
            '`absolute` is the bare number 0.01, which YAML may round: quote it, as "0.01".',
        ),
        (
            "absolute: \"0.01\"",
            "absolute: \"a cent\"",
            '`absolute: a cent` is not written as expected. Write a quoted decimal, such as "0.01".',
        ),
        ("    values: on_hold\n", "    values: onhold\n", "there is no value map `onhold`. Did you mean `on_hold`?"),
        (
            "    compare: money\n",
            "    compare: money\n    max_length: 18\n",
            "`max_length` does not fit `compare: money`. Remove it; numbers and dates have no length.",
        ),
        (
            "    salesforce: Credit_Limit__c\n",
            "",
            "D365 owns the field and Salesforce has no column to write. Add `salesforce`, or set `on_difference: report`.",
        ),
        (
            'prefix: "T-"',
            'prefix: "TIE-"',
            "prefix `TIE-` and the 18 characters of an id make 22; D365 takes 20. Use at most 2 characters.",
        ),
        ("  object: Account\n", "", "`object` is missing in `salesforce`. Add it."),
        ("  street:\n", "  name:\n", f"`name` stands here and on line {line_of('customer.yaml', '  name:')}. Remove one of them."),
        ("    on_create: true\n", "    on_create: maybe\n", "`on_create: maybe` must be true or false. Correct the value."),
        ("    max_length: 100\n", "    max_length: 0\n", "`max_length: 0` must be more than 0. Correct the number."),
        ("    PartyType: text\n", "    OnHoldStatus: text\n", "`OnHoldStatus` is already read by the field `on_hold`. Remove it from `extra`."),
        ("    d365: AddressCity\n", "    d365: AddressStreet\n", "`AddressStreet` is already the field `street`. Keep one of the two."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_to_write_instead(refusal_of: Refusal, old: str, new: str, told: str) -> None:
    refusal = refusal_of(("customer.yaml", old, new))

    assert [line.partition(": ")[2] for line in refusal if told in line] == [told], refusal


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{sum: amount}", "{sum: amonut}", "the lines have no field `amonut`. Did you mean `amount`?"),
        ("  stage: won\n", "  stage: closed\n", "no Salesforce value becomes `closed`. Use one of: lost, open, won."),
        ("match_on: line_number", "match_on: line", "the lines have no field `line`."),
        ("values: product.unit", "values: product.units", "there is no value map `product.units`. Did you mean `product.unit`?"),
        ("      None/*: open\n", "      Odd: open\n", "`Odd` in the value map `order_status` does not name SalesOrderStatus/SalesOrderProcessingStatus."),
        ("    parent: OpportunityId\n", "", "lines need `parent`, the column that names their header. Add it."),
        (
            "    compare: money\n",
            "    compare: money\n    exchange: {currency: curency, date: CloseDate}\n",
            "there is no field `curency` beside it. Did you mean `currency`?",
        ),
        (
            "    compare: money\n",
            "    compare: money\n    exchange: {currency: currency, date: CloseDat}\n",
            "Salesforce has no day in `CloseDat`, as far as this contract reads. Did you mean `CloseDate`?",
        ),
        (
            "      compare: quantity\n    unit:\n",
            '      compare: quantity\n      conversion: {unit: unti, factors: {ea: "1", box: "0"}}\n    unit:\n',
            "there is no field `unti` beside it. Did you mean `unit`?",
        ),
        (
            "      compare: quantity\n    unit:\n",
            '      compare: quantity\n      conversion: {unit: unit, factors: {ea: "1", box: "0"}}\n    unit:\n',
            "a factor of 0 makes every quantity equal. Correct it.",
        ),
        ("    references: customer\n", "", "`compare: reference` and `references` go together."),
        ("entity: sales_order", "entity: customer", "entity `customer` is already described in contracts/customer.yaml. Keep one of the two files."),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_told(refusal_of: Refusal, old: str, new: str, told: str) -> None:
    refusal = refusal_of(("sales_order.yaml", old, new))

    assert any(line.startswith("contracts/sales_order.yaml:") and told in line for line in refusal), refusal


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("{given_by: us}", "`given_by: us` is not known. Use one of: tieout, d365."),
        ("{}", "`prefix` is missing in `create.number`. Add it, or let D365 give the number: `given_by: d365`."),
        (
            '{prefix: "T-", settle_s: 60}',
            "`settle_s` is for numbers that D365 gives; ours are refused by D365 when they come twice. "
            "Remove it, or set `given_by: d365`.",
        ),
        ("{given_by: d365, settle_s: 59}", "`settle_s: 59` must be 60 at least. Correct the number."),
        ('{given_by: d365, settle_s: "60"}', "`settle_s: 60` must be a whole number. Correct the value."),
        (
            '{given_by: d365, prefix: "T-"}',
            "`prefix` does not fit `given_by: d365`, whose number sequence gives the number. Remove it, or set `given_by: tieout`.",
        ),
        (
            "{given_by: d365, from: PO_Number__c}",
            "`from` does not fit `given_by: d365`, whose number sequence gives the number. Remove it, or set `given_by: tieout`.",
        ),
    ],
)
def test_a_number_is_given_by_one_side_and_each_has_its_own_keys(refusal_of: Refusal, number: str, told: str) -> None:
    refusal = refusal_of(("sales_order.yaml", '{given_by: tieout, prefix: "T-"}', number))

    line = line_of("sales_order.yaml", "  number: {given_by: tieout")
    assert refusal == [f"contracts/sales_order.yaml:{line}: {told}"]


def test_a_number_of_d365_needs_a_reference_to_look_for(refusal_of: Refusal) -> None:
    refusal = refusal_of(
        ("sales_order.yaml", '{given_by: tieout, prefix: "T-"}', "{given_by: d365}"),
        ("sales_order.yaml", "  reference: CustomersOrderReference\n", ""),
    )

    line = line_of("sales_order.yaml", "  number: {given_by: tieout") - 1
    assert refusal == [
        f"contracts/sales_order.yaml:{line}: a number that D365 gives says nothing about its origin, so a lost answer is looked up by the "
        "reference. Add `link.reference`, or set `given_by: tieout`."
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("sales_order.yaml", "  changed: report ", "  changed: overwrite ", "`changed: overwrite` is not known. Use one of: report, amend."),
        ("sales_order.yaml", "  lost: report ", "  lost: cancel ", "`lost: cancel` is not known. Use one of: report, stop."),
        ("sales_order.yaml", "  lost: report ", "  won: report ", "unknown key `won`."),
        (
            "sales_order.yaml",
            '  number: {given_by: tieout, prefix: "T-"}\n',
            "",
            "Tieout creates no such record in D365, so nothing changes after delivery. Add `create.number`, or remove `after_delivery`.",
        ),
        (
            "customer.yaml",
            "create:\n",
            "after_delivery: {changed: amend}\ncreate:\n",
            "records without lines follow Salesforce field by field. Remove `after_delivery`, and set `on_difference: write` on the fields.",
        ),
    ],
)  # fmt: skip
def test_a_policy_for_what_cannot_happen_is_told(refusal_of: Refusal, file: str, old: str, new: str, told: str) -> None:
    refusal = refusal_of((file, old, new))

    assert any(line.startswith(f"contracts/{file}:") and told in line for line in refusal), refusal


def test_stopping_lost_orders_needs_to_know_what_is_lost_and_what_is_stopped(refusal_of: Refusal) -> None:
    refusal = refusal_of(
        ("sales_order.yaml", "  lost: report ", "  lost: stop "),
        ("sales_order.yaml", "    IsSalesProcessingStopped: text\n", ""),
        ("sales_order.yaml", "scope:\n  stage: won\n", ""),
    )

    assert [line.partition(": ")[2] for line in refusal] == [
        "`lost: stop` has to know which records are stopped already. Add `IsSalesProcessingStopped: text` to `d365.extra`.",
        "without a scope nothing is ever lost. Add `scope`, or set `lost: report`.",
    ]


def test_the_line_is_the_one_of_the_mistake(refusal_of: Refusal) -> None:
    refusal = refusal_of(("customer.yaml", "    compare: phone\n", "    compare: telephone\n"))

    assert refusal == [
        f"contracts/customer.yaml:{line_of('customer.yaml', 'compare: phone')}: `compare: telephone` is not known. Did you mean `phone`?"
    ]


def test_all_mistakes_of_all_files_come_in_one_message(refusal_of: Refusal) -> None:
    refusal = refusal_of(
        ("customer.yaml", "    compare: phone\n", "    compare: telephone\n"),
        ("customer.yaml", 'prefix: "T-"', 'prefix: "TIE-"'),
        ("product.yaml", "entity: product", "entity: product\ncolour: red"),
        ("sales_order.yaml", "{sum: amount}", "{sum: amonut}"),
    )

    assert [line.split(":")[0] for line in refusal] == [
        "contracts/customer.yaml",
        "contracts/customer.yaml",
        "contracts/product.yaml",
        "contracts/sales_order.yaml",
    ]


def test_broken_yaml_is_told_with_its_line_and_nothing_else_is_blamed_for_it(refusal_of: Refusal) -> None:
    refusal = refusal_of(("product.yaml", "salesforce:\n  object: Product2", "salesforce:\n\tobject: Product2"))

    assert len(refusal) == 1
    assert refusal[0].startswith(
        f"contracts/product.yaml:{line_of('product.yaml', '  object: Product2')}: this is not YAML"
    )


def test_an_empty_file_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="holds no contract"):
        load_contracts(tmp_path)

    (tmp_path / "customer.yaml").write_text("# nothing yet\n", encoding="utf-8")
    with pytest.raises(ContractError, match=r"customer\.yaml:1: the file is empty"):
        load_contracts(tmp_path)
