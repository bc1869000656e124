"""Deep ranking: learn from triplets a network that puts similar images near each other.

    import deep_ranking as dr

Everything that is public stands in the table below and is imported when it is first asked for, so that this
costs nothing. Keras takes seconds to import: nothing here imports it, but `import deep_ranking` before or
after `import keras` is all that `keras.models.load_model` needs to know our layers and losses.
"""

from deep_ranking.lazy import lazy_names
from deep_ranking.registration import register_with_keras

__version__ = "0.1.0"

_NAMES = {
    # embedding: a trained network, ready to use
    "load": "embedding.model",
    "Model": "embedding.model",
    "make_engine": "embedding.engines",
    "resolve_engine": "embedding.engines:resolve",
    "has_accelerator": "embedding.engines",
    # triplets: who is compared with whom
    "Triplet": "triplets.file",
    "Triplets": "triplets.table",
    "read_triplets": "triplets.file",
    "write_triplets": "triplets.file",
    "write_triplet_blocks": "triplets.file:write_blocks",
    "split_images": "triplets.uniform",
    "UniformSampler": "triplets.uniform",
    "ImportanceSampler": "triplets.importance",
    "ImportanceSettings": "triplets.settings",
    "OnlineSampler": "triplets.online",
    "OnlineTriplets": "triplets.online",
    "ClassBatches": "triplets.class_batches",
    "LabelledImages": "triplets.table",
    "Relevance": "triplets.relevance",
    "FeatureRelevance": "triplets.relevance",
    "HierarchyRelevance": "triplets.relevance",
    "LabelRelevance": "triplets.relevance",
    "PairRelevance": "triplets.relevance",
    # images: from files to batches
    "find_images": "images.find",
    "find_classes": "images.find",
    "read_image": "images.decode",
    "load_image_batches": "images.loader:load_batches",
    "ImageCache": "images.cache",
    "ImageDataGenerator": "images.generator",
    "Augmentation": "images.augment",
    "AUGMENTATIONS": "images.augment:PRESETS",
    "TripletBatches": "images.batches",
    "LabelledBatches": "images.batches",
    "BatchStream": "images.batches",
    # network: image -> vector
    "NetworkSettings": "network.settings",
    "BACKBONES": "network.backbones",
    "build_network": "network.network",
    "average_mirror": "network.network",
    "paper_paths": "network.network",
    "blog_paths": "network.network",
    "LabColour": "network.layers",
    "ColourHistogram": "network.layers",
    "save_network": "network.file",
    "load_network": "network.file",
    "load_weights": "network.weights",
    # ranking: the losses
    "TripletHingeLoss": "ranking.loss",
    "MinedTripletLoss": "ranking.mining",
    "ProxyLoss": "ranking.proxies",
    "Proxies": "ranking.proxies",
    "Distance": "ranking.distances",
    "DISTANCES": "ranking.distances",
    "register_distance": "ranking.distances",
    "ranking_metrics": "ranking.metrics",
    "mining_metrics": "ranking.metrics",
    # training, and learning from ratings
    "train": "training.run",
    "TrainingSettings": "training.settings",
    "Trained": "training.run",
    "build_training_model": "training.model",
    "CachedActivations": "training.frozen",
    "Blend": "blend.learn",
    "BlendSettings": "blend.learn",
    "Descriptions": "blend.run",
    "LearnSettings": "blend.settings",
    "learn": "blend.run",
    "GoldenFeature": "blend.golden",
    "ranked_right": "blend.run",
    "text_query_groups": "blend.run",
    "independent_groups": "blend.golden",
    "group_folds": "blend.golden:folds",
    # search
    "Index": "search.index",
    "Options": "search.options",
    "Hit": "search.options",
    "Results": "search.options",
    "update_index": "search.update",
    "Store": "search.store",
    "register_store": "search.stores.registry",
    "IndexUpdate": "search.update:Update",
    "IndexedImage": "search.image:Image",
    "Group": "search.duplicates",
    "find_duplicates": "search.duplicates",
    "page_image_id": "web.gallery:image_id",
    # evaluation
    "evaluate": "evaluation.evaluate",
    "Metric": "evaluation.metrics",
    "register_metric": "evaluation.metrics",
    "Evaluation": "evaluation.evaluation",
    "TripletTask": "evaluation.tasks",
    "RetrievalTask": "evaluation.tasks",
    "sample_classes": "evaluation.tasks",
    "Measurement": "evaluation.metrics",
    "results_table": "evaluation.metrics.measure:table",
    "Estimate": "evaluation.metrics",
    "bootstrap": "evaluation.metrics",
    "nearest_neighbours": "evaluation.metrics:neighbours",
    "measure_retrieval": "evaluation.metrics",
    "measure_triplets": "evaluation.metrics",
    "triplet_distances": "evaluation.metrics",
    "similarity_precision": "evaluation.metrics",
    "score_at_top": "evaluation.metrics",
    "checked_triplets": "evaluation.metrics.triplets",
    "Embeddings": "vectors",
    "read_embeddings": "vectors",
    "write_embeddings": "vectors",
    # ratings by people
    "RatingStore": "ratings",
    "choose_question": "ratings:choose",
    "tally_ratings": "ratings:tally",
    # display
    "show": "display.show",
    "LiveCurves": "display.live_curves",
    "draw_curves": "display.live_curves",
    "report": "report:",
    "embedding_map": "report.pictures",
    "draw_chart": "report.drawing:drawn",
    "CHART_COLOURS": "report.drawing:LIGHT",
    # data sets
    "DemoSettings": "datasets.demo",
    "draw_demo": "datasets.demo",
    "Appearance": "datasets.paint",
    "appearance_distances": "datasets.demo",
    "read_relevance": "datasets.demo",
    "within_class_triplets": "datasets.demo",
    "prepare_tiny_imagenet": "datasets.tiny_imagenet",
    "prepare_human_triplets": "datasets.human_triplets",
    # errors, and what scripts need
    "DeepRankingError": "errors",
    "MissingExtraError": "errors",
    "ImageError": "images.decode",
    "TripletFileError": "triplets.file",
    "ModelFileError": "network.file",
    "expect": "errors",
    "import_keras": "cli.shared",
    "COMMANDS": "cli",
    "run_command": "cli",
    "written_whole": "files",
    "progress_bar": "progress:progress",
}
"""Public name -> the module that has it, below this package; after a colon, its name there."""

__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)

register_with_keras()
