"""Makes this folder and benchmarks importable from every test file: `compiled`, `sanitize.guarded`, `model_set` …"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "targets"), str(HERE.parent / "benchmarks")]
