"""Rows are written with these."""

from __future__ import annotations

from milepost.tables.family import Stack, TableForm

BERT_KEY = "embeddings.position_embeddings.weight"
CLIP_KEY = "embeddings.position_embedding.weight"
BART_KEY = "embed_positions.weight"
VIT_KEY = "embeddings.position_embeddings"
POSITION_IDS = ("position_ids",)


def text(suffix: str = BERT_KEY, role: str = "text", **more: object) -> TableForm:
    """A table of text positions; by default BERT's."""
    return TableForm(suffix, role, **more)  # type: ignore[arg-type]


def after_pad(suffix: str = BERT_KEY, role: str = "text", **more: object) -> TableForm:
    """A table whose positions count from the row after the pad's."""
    return text(suffix, role, first_row="pad+1", padding_row="pad", **more)


def both(field: str = "max_position_embeddings", **more: object) -> tuple[TableForm, ...]:
    """The tables of an encoder and a decoder with BART's names."""
    return tuple(text(f"{side}.{BART_KEY}", side, field=field, **more) for side in ("encoder", "decoder"))


def boxes(prefix: str = "embeddings.") -> tuple[TableForm, ...]:
    """LayoutLM's four tables of coordinates, which are no positions."""
    return tuple(
        text(
            f"{prefix}{axis}_position_embeddings.weight",
            "layout",
            field="max_2d_position_embeddings",
            resizable=False,
        )
        for axis in "xyhw"
    )


def image(suffix: str = VIT_KEY, prefix_rows: int = 1, **more: object) -> TableForm:
    """A table with a row for each patch of an image; by default ViT's."""
    settings: dict[str, object] = {"role": "vision", "kind": "patches", "field": "image_size", **more}
    return TableForm(suffix, prefix_rows=prefix_rows, **settings)  # type: ignore[arg-type]


def names(text: str) -> tuple[str, ...]:
    """Words with spaces between them."""
    return tuple(text.split())


def bert_like(model_type: str, name: str, **options: object) -> Stack:
    """A stack with BERT's embeddings; ``name`` is what its classes begin with."""
    facts: dict[str, object] = {
        "attention": (f"{name}SelfAttention",),
        "cross_attention": (f"{name}CrossAttention",),
        "causal": "decoder",
        "limits": ("embeddings.position_ids", "embeddings.token_type_ids"),
        "zeros": ("token_type_ids",),
    }
    return Stack(model_type, f"{name}Model", **(facts | options))  # type: ignore[arg-type]


def vision(model_type: str, name: str, **options: object) -> Stack:
    """A vision Transformer, whose table is a parameter; ``name`` is what its classes begin with."""
    facts: dict[str, object] = {
        "attention": (f"{name}Attention",),
        "causal": "never",
        "role": "vision",
        "reads_table": True,
    }
    return Stack(model_type, f"{name}Model", **(facts | options))  # type: ignore[arg-type]
