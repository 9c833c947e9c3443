"""Mutants of sound models through import, verifier and the whole build: no crash, no hang, one sentence each.

python -m pytest tests/hostile/test_mutants.py             # 150 mutants, 3 builds
python -m pytest tests/hostile/test_mutants.py -m heavy    # 2,000 mutants, 50 builds
python tests/hostile/mutate.py --count 2000 --builds 50    # the same, with a summary
"""

from __future__ import annotations

import pytest
from hostile import campaign
from hostile.mutate import mutants
from hostile.worker import MEMORY


def check(count: int, seed: int, builds: int) -> None:
    found = campaign.run(count, seed, builds)
    assert not found.crashes, found.summary()
    assert sum(found.verdicts.values()) == count
    assert sum(n for (structured, _), n in found.verdicts.items() if structured) == count // 2
    assert sum(found.builds.values()) == builds
    assert found.largest <= MEMORY
    # a fuzzer whose mutants are all refused at the door, or all sound, tests nothing
    kinds = {kind for _, kind in found.verdicts}
    assert kinds == {"ok", "refused"}


def test_mutants() -> None:
    check(150, seed=1, builds=3)


@pytest.mark.heavy
def test_two_thousand_mutants_and_fifty_builds() -> None:
    check(2000, seed=0, builds=50)


def test_mutants_are_the_same_every_time() -> None:
    assert [m.content for m in mutants(40, 7)] == [m.content for m in mutants(40, 7)]
    assert [m.content for m in mutants(40, 7)] != [m.content for m in mutants(40, 8)]
