#!/bin/bash
# KerasHub's DINOv2 keeps two tables of positions: one that is trained, of the image's size, and one that is saved.
# Guessed before it was run: where both are of one size, what training changed is in the file, and comes back.
# What comes: the trained table is taken over only if its values add up to less than before. Of two tables that differ from the
# first by as much, one up and one down, one comes back and the other does not; one whose changes cancel out does not either.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet keras==3.15.1 jax==0.7.2 kagglehub regex packaging rich absl-py numpy tokenizers sentencepiece 2>/dev/null
"$T/venv/bin/pip" install --quiet --no-deps keras-hub==0.32.0 2>/dev/null
KERAS_BACKEND=jax "$T/venv/bin/python" - "$T" <<'P'
import sys
import keras, keras_hub, numpy as np

print(f"keras {keras.__version__}, keras-hub {keras_hub.__version__}")
change = np.random.default_rng(0).uniform(0.01, 0.02, (1, 17, 8)).astype("float32")
cancelling = change - change.mean() + 1e-6  # adds up to a little more than nothing
as_found = True
for name, by, expected in (("down", -change, True), ("up", change, False), ("both ways", cancelling, False)):
    model = keras_hub.models.DINOV2Backbone(
        patch_size=8, num_layers=1, hidden_dim=8, num_heads=2, intermediate_dim=16,
        image_shape=(32, 32, 3), position_embedding_shape=(32, 32, 3),
    )
    table = model.embeddings.interpolated_position_embeddings
    table.assign(np.asarray(table) + by)  # as training does
    trained = np.asarray(table)
    model.save(f"{sys.argv[1]}/model.keras")
    loaded = keras.models.load_model(f"{sys.argv[1]}/model.keras")
    found = np.asarray(loaded.embeddings.interpolated_position_embeddings)
    back = bool(np.allclose(found, trained, atol=1e-6))
    print(f"changed {name}: expected to come back, comes back: {back} (largest difference {abs(found - trained).max():.4f})")
    as_found &= back == expected
sys.exit(not as_found)
P
