"Prototype LLM agents in Jupyter, as runs that can be held, stepped, changed and resumed"
__version__ = "0.1.0"
