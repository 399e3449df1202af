"""Text next to images: models made of parts, and the parts."""

from __future__ import annotations

from milepost.tables.families.shorthand import CLIP_KEY, POSITION_IDS, image, names, text, vision
from milepost.tables.family import Family, Part, Stack, Variant

_TEXT = Part("text_config", ("language_model.", "text_model."))
_VISION = Part("vision_config", ("vision_tower.", "vision_model.", "visual."))
_BLIP_VISION = Part("vision_config", ("vision_model.",), "blip_2_vision_model")
_BACKBONE = Part("backbone_config", ("backbone.",))


def _towers(text: str, vision: str) -> tuple[Part, ...]:
    return (Part("text_config", ("text_model.",), text), Part("vision_config", ("vision_model.",), vision))


PAIRS: tuple[Family, ...] = (
    # text beside images
    Family(
        "clip_text",
        names(
            "clip_text_model clipseg_text_model metaclip_2_text_model siglip_text_model "
            "siglip2_text_model owlvit_text_model owlv2_text_model groupvit_text_model xclip_text_model "
            "aimv2_text_model"
        ),
        (text(CLIP_KEY),),
        buffers=POSITION_IDS,
        stacks=(
            Stack(
                "clip_text_model",
                "CLIPTextModel",
                ("CLIPAttention",),
                "always",
                reads_table=True,
                folder="clip",
            ),
        ),
    ),
    Family(
        "clip_vision",
        names(
            "clip_vision_model clipseg_vision_model metaclip_2_vision_model owlvit_vision_model "
            "owlv2_vision_model xclip_vision_model chinese_clip_vision_model altclip_vision_model "
            "git_vision_model"
        ),
        (image(CLIP_KEY),),
        buffers=POSITION_IDS,
        stacks=(vision("clip_vision_model", "CLIPVision", attention=("CLIPAttention",), folder="clip"),),
    ),
    Family(
        "siglip_vision",
        names("siglip_vision_model aimv2_vision_model idefics2_vision idefics3_vision smolvlm_vision"),
        (image(CLIP_KEY, 0),),
        buffers=POSITION_IDS,
    ),
    Family(
        "siglip2_vision",
        ("siglip2_vision_model",),
        (image(CLIP_KEY, 0, field="num_patches", layout="count"),),
    ),
    Family(
        "blip_vision",
        names(
            "blip_vision_model blip_2_vision_model instructblip_vision_model instructblipvideo_vision_model"
        ),
        (image("embeddings.position_embedding"),),
    ),
    Family("clip", ("clip",), parts=_towers("clip_text_model", "clip_vision_model")),
    Family("clipseg", ("clipseg",), parts=_towers("clipseg_text_model", "clipseg_vision_model")),
    Family("metaclip_2", ("metaclip_2",), parts=_towers("metaclip_2_text_model", "metaclip_2_vision_model")),
    Family("owlvit", names("owlvit owlv2"), parts=_towers("owlvit_text_model", "owlvit_vision_model")),
    Family("xclip", ("xclip",), parts=_towers("xclip_text_model", "xclip_vision_model")),
    Family("groupvit", ("groupvit",), parts=_towers("groupvit_text_model", "groupvit_vision_model")),
    Family("siglip", ("siglip",), parts=_towers("siglip_text_model", "siglip_vision_model")),
    Family("siglip2", ("siglip2",), parts=_towers("siglip2_text_model", "siglip2_vision_model")),
    Family("aimv2", ("aimv2",), parts=_towers("aimv2_text_model", "aimv2_vision_model")),
    Family("altclip", ("altclip",), parts=_towers("altclip_text_model", "altclip_vision_model")),
    Family(
        "chinese_clip",
        ("chinese_clip",),
        parts=_towers("chinese_clip_text_model", "chinese_clip_vision_model"),
    ),
    Family("blip", ("blip",), parts=_towers("blip_text_model", "blip_vision_model")),
    Family("blip-2", ("blip-2",), parts=(Part("text_config", ("language_model.",)), _BLIP_VISION)),
    Family(
        "instructblip",
        names("instructblip instructblipvideo"),
        parts=(
            Part("text_config", ("language_model.",)),
            Part("qformer_config", ("qformer.",), "instructblip_qformer"),
            _BLIP_VISION,
        ),
    ),
    Family(
        "flava",
        ("flava",),
        parts=(
            Part("text_config", ("text_model.",), "flava_text_model"),
            Part("image_config", ("image_model.",), "flava_image_model"),
        ),
    ),
    Family("align", ("align",), parts=(Part("text_config", ("text_model.",), "align_text_model"),)),
    Family("clap", ("clap",), parts=(Part("text_config", ("text_model.",), "clap_text_model"),)),
    Family(
        "vision-text-dual-encoder",
        ("vision-text-dual-encoder",),
        parts=(Part("text_config", ("text_model.",)), Part("vision_config", ("vision_model.",))),
    ),
    Family(
        "encoder-decoder",
        names("encoder-decoder vision-encoder-decoder speech-encoder-decoder"),
        parts=(Part("encoder", ("encoder.",)), Part("decoder", ("decoder.",))),
    ),
    Family(
        "llava",
        names(
            "llava llava_next llava_next_video llava_onevision vipllava paligemma idefics2 idefics3 smolvlm"
        ),
        parts=(_TEXT, _VISION),
        positions_by="rotary",
        variants=tuple(
            Variant(kind, cuts="tiles")
            for kind in names("llava_next llava_next_video llava_onevision idefics3 smolvlm")
        ),
    ),
    Family("depth_anything", names("depth_anything prompt_depth_anything"), parts=(_BACKBONE,)),
)
