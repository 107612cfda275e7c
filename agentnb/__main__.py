"`python -m agentnb` is the command `agentnb`"
from agentnb.cli.main import main

raise SystemExit(main())
