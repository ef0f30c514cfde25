"""The short numbers of cases, such as ``C-4812``."""


def case_number(number: int | None) -> str:
    return "" if number is None else f"C-{number}"


def parse_case_number(text: str) -> int | None:
    """``C-4812`` → 4812; None for anything else."""
    digits = text[2:] if text[:2] in ("C-", "c-") else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
