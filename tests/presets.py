"""Presets of KerasHub, small ones with random weights, in folders that `save_to_preset` writes."""

from pathlib import Path

import keras

VIT = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "image_shape": (32, 32, 3), "patch_size": 8}
DINO = {**VIT, "intermediate_dim": 16, "num_register_tokens": 2}
_ER = {"block_types": "er", "num_blocks": 1, "num_filters": 8, "strides": 2, "act_layers": "relu"}
_ER |= {"exp_ratios": 2.0, "se_ratios": 0.0, "exp_kernel_sizes": 3, "pw_kernel_sizes": 1, "use_cpe": False}
_ER |= dict.fromkeys(["dw_kernel_sizes", "dw_start_kernel_sizes", "dw_end_kernel_sizes"], 0)
_ER |= dict.fromkeys(["num_heads", "key_dims", "value_dims", "kv_strides"], 0)


TEXT = {"vocabulary_size": 10, "embedding_dim": 8}
ENCODER = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}


def _clip(models, kind):
    vision = getattr(models, f"{kind}VisionEncoder")(patch_size=8, image_shape=(32, 32, 3), **ENCODER)
    text = getattr(models, f"{kind}TextEncoder")(**TEXT, **ENCODER)
    return getattr(models, f"{kind}Backbone")(vision, text, projection_dim=8)


def _siglip(models):
    vision = models.SigLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **ENCODER)
    text = models.SigLIPTextEncoder(**TEXT, max_sequence_length=4, projection_dim=8, **ENCODER)
    return models.SigLIPBackbone(vision, text)


FAMILIES = {
    "dinov2": lambda m: m.DINOV2Backbone(**DINO, position_embedding_shape=(64, 64, 3)),
    "dinov3": lambda m: m.DINOV3Backbone(**DINO),
    "vit": lambda m: m.ViTBackbone(**VIT, mlp_dim=16),
    "deit": lambda m: m.DeiTBackbone(**VIT, intermediate_dim=16),
    "siglip": _siglip,
    "resnet": lambda m: m.ResNetBackbone([64], [7], [64], [1], [1], "basic_block"),
    "efficientnet": lambda m: m.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[2, 2],
        stackwise_block_types=["fused", "unfused"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,  # and no num_features: KerasHub does not write it into a preset
    ),
    "mobilenetv5": lambda m: m.MobileNetV5Backbone(
        **{f"stackwise_{name}": [value if name == "num_blocks" else [value]] for name, value in _ER.items()},
        use_msfa=False,
    ),
    "densenet": lambda m: m.DenseNetBackbone([1, 1], growth_rate=4),
    "swin": lambda m: m.SwinTransformerBackbone(
        image_shape=(32, 32, 3), patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[2, 2], window_size=4
    ),
    "mit": lambda m: m.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        image_shape=(32, 32, 3),
        hidden_dims=[8, 16],
    ),
    "vgg": lambda m: m.VGGBackbone([1, 1], [8, 16], image_shape=(32, 32, 3)),
    "clip": lambda m: _clip(m, "CLIP"),
    "metaclip_2": lambda m: _clip(m, "MetaCLIP2"),
    "mobilenet": lambda m: m.MobileNetBackbone(
        stackwise_expansion=[[8, 16], [16]],
        stackwise_num_blocks=[2, 1],
        stackwise_num_filters=[[8, 8], [16]],
        stackwise_kernel_size=[[3, 3], [5]],
        stackwise_num_strides=[[2, 1], [2]],
        stackwise_se_ratio=[[None, None], [0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish"]],
        stackwise_padding=[[1, 1], [2]],
        output_num_filters=16,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=8,
        image_shape=(32, 32, 3),
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        squeeze_and_excite=0.5,
        last_layer_filter=16,
    ),
    "cspnet": lambda m: m.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 1],
        stackwise_strides=[2, 2],
        stackwise_num_filters=[8, 16],
        block_type="dark_block",
        stage_type="csp",
        bottle_ratio=[0.5, 1.0],
        block_ratio=[1.0, 0.5],
        expand_ratio=[2.0, 1.0],
    ),
    "hgnetv2": lambda m: m.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 16, 1, 1, 3), (16, 8, 16, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=(32, 32, 3),
    ),
    "xception": lambda m: m.XceptionBackbone([[8, 8], [16, 16]], [True, False]),
}

SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, 0.0, 0.5]


def make(family: str, folder: Path, size: int = 32) -> Path:
    """Write a family's preset, its image converter with it."""
    import keras_hub  # not at the top: this file is read for examples where the extra is not installed, too

    keras.utils.set_random_seed(0)
    backbone = FAMILIES[family](keras_hub.models)
    backbone.save_to_preset(str(folder))
    converter = next(
        cls for cls in vars(keras_hub.layers).values() if getattr(cls, "backbone_cls", None) is type(backbone)
    )
    converter(image_size=(size, size), scale=SCALE, offset=OFFSET).save_to_preset(str(folder))
    return folder
