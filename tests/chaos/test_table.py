from tests.chaos.steps import STEPS
from tests.chaos.table import TARGET


def test_the_published_matrix_has_every_step():
    published = TARGET.read_text()

    assert [] == [step.name for step in STEPS if f"| `{step.name}` |" not in published]
