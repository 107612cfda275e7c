"Embedders, retrieval, routers, narrowed toolsets and the semantic cache; each name is imported when it is asked for"
import importlib

_HOMES = dict(
    embedders=("Embedder", "Lexical", "CachedEmbedder", "cached_embedder", "similarity", "unit_vector"),
    remote=("Embeddings", "SentenceTransformers", "local_embedder", "find_embedder"),
    metrics=("RetrievalMetrics", "measure", "ndcg_at", "recall_at", "reciprocal_rank"), index=("BM25", "Fused", "Hit", "Index"),
    router=("Route", "Router", "RouterMetrics", "measure_router"), toolset=("NarrowedModel", "ToolSelector", "Toolset"), meaning=("differences",),
    certificate=("Certificate", "certify", "lower_bound"), semantic=("Pair", "SemanticCached"))
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]

def __getattr__(name):
    if name in _HOME: return getattr(importlib.import_module(f"agentnb.routing.{_HOME[name]}"), name)
    raise AttributeError(f"module 'agentnb.routing' has no attribute {name!r}")

def __dir__(): return sorted([*globals(), *_HOME])
