"""Models of other libraries, whose configurations are translated before (``recognition``)."""

from __future__ import annotations

from milepost.tables.families.shorthand import image, text
from milepost.tables.family import Family, Part, TableForm


def _timm(prefix_rows: int = 1) -> TableForm:
    return image(
        "pos_embed",
        prefix_rows,
        stored_field=("pretrained_cfg", "input_size"),
        size_argument=("model_args", "img_size"),
    )


OTHER_LIBRARIES: tuple[Family, ...] = (
    Family("timm_vit", ("timm_vit_1",), (_timm(),)),
    Family("timm_vit_distilled", ("timm_vit_2",), (_timm(2),)),
    Family("timm_vit_patches", ("timm_vit_0",), (_timm(0),)),
    Family(
        "open_clip",
        ("open_clip",),
        (
            text(
                "positional_embedding",
                field="context_length",
                stored_field=("model_cfg", "text_cfg", "context_length"),
            ),
        ),
        (Part("vision_cfg", ("visual.",), "open_clip_vision"),),
    ),
    Family(
        "transformer_lens",
        (),
        (text("pos_embed.W_pos", field="n_ctx", alone=True),),  # OPT's reserved rows are cut off there
    ),
    Family(
        "open_clip_vision",
        ("open_clip_vision",),
        (image("positional_embedding", stored_field=("model_cfg", "vision_cfg", "image_size")),),
    ),
)
