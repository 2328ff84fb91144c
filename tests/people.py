"""People for tests: each has a CPF of their own, because a person has one account."""

import itertools

_NUMBERS = itertools.count(1)


def cpf(number: int) -> str:
    """The number's own CPF, with right check digits; 11 bare digits."""
    digits = [int(digit) for digit in f"{(number * 611_953 + 123_456_789) % 10**9:09d}"]
    for _ in range(2):
        rest = sum(digit * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True)) % 11
        digits.append(0 if rest < 2 else 11 - rest)
    return "".join(map(str, digits))


def fresh_cpf() -> str:
    """One that no other person of this run has."""
    return cpf(next(_NUMBERS))
