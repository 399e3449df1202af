"""Models of images and sounds."""

from __future__ import annotations

from milepost.tables.families.shorthand import image, names, text, vision
from milepost.tables.family import Family

IMAGES: tuple[Family, ...] = (
    # images and sounds
    Family(
        "vit",
        names("vit dinov2 vit_msn dpt flava_image_model"),
        (image(),),
        stacks=(vision("vit", "ViT"), vision("dinov2", "Dinov2")),
    ),
    Family("dinov2_with_registers", ("dinov2_with_registers",), (image(),)),
    Family(
        "vit_mae",
        ("vit_mae",),
        (image(kind="fixed_sinusoid"), image("decoder.decoder_pos_embed", kind="fixed_sinusoid")),
    ),
    Family("deit", ("deit",), (image(prefix_rows=2),), stacks=(vision("deit", "DeiT"),)),
    Family("ijepa", names("ijepa groupvit_vision_model"), (image(prefix_rows=0),)),
    Family(
        "audio-spectrogram-transformer",
        ("audio-spectrogram-transformer",),
        (image(prefix_rows=2, role="audio", field="max_length", layout="spectrogram"),),
    ),
    Family("vivit", ("vivit",), (image(layout="video"),)),
    Family(
        "timesformer",
        ("timesformer",),
        (image(), text("embeddings.time_embeddings", "time", field="num_frames", optional=True)),
    ),
    Family(
        "yolos", ("yolos",), (image(trailing="num_detection_tokens"),), buffers=("mid_position_embeddings",)
    ),
)
