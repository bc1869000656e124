#!/usr/bin/env bash
# Nearest-neighbour accuracy on Tiny ImageNet: from the archive to a saved model and a report.
#
# Paper: Wang et al. 2014 (embeddings on the unit sphere, ranked by distance), with the loss of Zhai and Wu 2019,
# "Classification is a strong baseline for deep metric learning", on MobileNetV2 with ImageNet weights.
# Bar: the course's ResNet101 finds 67%; MobileNetV2 untrained 40.2%.
#
#     recipes/tiny_imagenet.sh tiny-imagenet-200.zip mobilenet_v2_1.0_224_no_top.weights.h5 [OUTPUT]
#
# Needs the extras: pip install -e '.[fast,report]'
set -euo pipefail

archive=${1:?the Tiny ImageNet archive} weights=${2:?the weights of MobileNetV2 without its top} output=${3:-tiny-imagenet}
python=${PYTHON:-python}

$python -m deep_ranking prepare tiny-imagenet --archive "$archive" --output "$output/data"
# Behind block_8 lie eight blocks of 17; they alone learn, and their normalization with them.
$python -m deep_ranking train --dataset "$output/data/train" --model "$output/model.h5" --seed 0 \
    --backbone mobilenetv2 --weights "$weights" --low_resolution none --image_size 160 --embedding_size 512 \
    --train_from block_8_add --no-freeze_normalization --engine openvino-bfloat16 --augmentation mirror --views 4 \
    --mining proxies --scale 10 --smoothing 0.1 --classes_per_batch 64 --images_per_class 2 \
    --epochs 5 --learning_rate 0.1 --backbone_rate 0.1 --schedule cosine --warmup 0.05 --weight_decay 0.002 \
    --discriminants 0.3 --average_mirror
$python -m deep_ranking report --engine openvino --model "$output/model.h5" --train "$output/data/train" --test "$output/data/val" \
    --output "$output/report"
