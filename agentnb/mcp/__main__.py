"`python -m agentnb.mcp` lends tools to other programs"
from agentnb.mcp.server import main

main()
