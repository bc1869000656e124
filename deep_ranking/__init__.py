"""Deep ranking: learn from triplets a network that puts similar images near each other.

    import deep_ranking as dr

Everything that is public stands in the table below and is imported when it is first asked for, so that this
costs nothing. Keras takes seconds to import: nothing here imports it, but `import deep_ranking` before or
after `import keras` is all that `keras.models.load_model` needs to know our layers and losses.
"""

from deep_ranking.door import lazy_names, names_by_module, register_with_keras

__version__ = "0.1.0"

_NAMES = names_by_module(
    {
        # embedding: a trained network, ready to use
        "embedding.model": "load Model",
        "embedding.engines": "make_engine resolve:resolve_engine has_accelerator",
        # description: what embeds where there is no model
        "description.description": "Description embedder_of split:split_reading",
        "description.components": "LOOKS Map:DescriptionMap Prior:DescriptionPrior save_prior",
        "description.reader": "open_reader",
        # triplets: who is compared with whom
        "triplets.file": (
            "Triplet TripletFileError read_triplets write_triplets write_blocks:write_triplet_blocks"
        ),
        "triplets.table": "Triplets LabelledImages",
        "triplets.uniform": "split_images UniformSampler ClassBatches",
        "triplets.importance": "ImportanceSampler",
        "triplets.settings": "ImportanceSettings",
        "triplets.online": "OnlineSampler OnlineTriplets",
        "triplets.relevance": "Relevance FeatureRelevance HierarchyRelevance LabelRelevance PairRelevance",
        # images: from files to batches
        "images.find": "find_images find_classes look_into",
        "images.decode": "read_image ImageError",
        "images.loader": "load_batches:load_image_batches",
        "images.cache": "ImageCache",
        "images.likeness": "Likeness",
        "images.augment": "Augmentation PRESETS:AUGMENTATIONS",
        "images.generator": "ImageDataGenerator",
        "images.batches": "TripletBatches LabelledBatches BatchStream",
        # network: image -> vector
        "network.settings": "NetworkSettings",
        "network.backbones": "BACKBONES",
        "network.network": "build_network average_mirror paper_paths blog_paths",
        "network.layers": "LabColour ColourHistogram",
        "network.file": "save_network load_network ModelFileError",
        "network.weights": "load_weights",
        # ranking: the losses
        "ranking.loss": "TripletHingeLoss",
        "ranking.mining": "MinedTripletLoss",
        "ranking.proxies": "ProxyLoss Proxies",
        "ranking.distances": "Distance DISTANCES register_distance",
        "ranking.metrics": "ranking_metrics mining_metrics",
        # training, and learning from ratings
        "training.run": "train Trained",
        "training.settings": "TrainingSettings RunOptions",
        "training.model": "build_training_model",
        "training.frozen": "CachedActivations",
        "training.head": "choose_head",
        "blend.learn": "Blend BlendSettings",
        "blend.run": "Descriptions Learned learn ranked_right text_query_groups",
        "blend.settings": "LearnSettings",
        "blend.golden": "GoldenFeature",
        # learning: a small map on top of an index's vectors, from ratings
        "learning.folds": "independent_groups folds:group_folds",
        "learning.metric": "MahalanobisMetric",
        "learning.settings": "LessonSettings",
        "learning.learn": "Lesson teach forget learn_map",
        "ratings.questions": "telling",
        # search
        "search.index": "Index",
        "search.options": "Options Hit Results",
        "search.update": "update_index Update:IndexUpdate",
        "search.store": "Store",
        "search.query": "Embedder",
        "search.stores.registry": "register_store",
        "search.image": "Image:IndexedImage",
        "search.duplicates": "find_duplicates",
        "search.groups": "Group",
        "web.gallery": "image_id:page_image_id",
        # evaluation
        "evaluation.metrics": (
            "Metric register_metric Measurement Estimate bootstrap neighbours:nearest_neighbours "
            "measure_retrieval measure_triplets triplet_distances similarity_precision score_at_top"
        ),
        "evaluation.evaluation": "Evaluation evaluate",
        "evaluation.tasks": "TripletTask RetrievalTask sample_classes",
        "evaluation.metrics.measure": "table:results_table",
        "evaluation.metrics.triplets": "checked_triplets",
        "vectors": "Embeddings read_embeddings write_embeddings",
        # ratings by people
        "ratings": "RatingStore choose:choose_question tally:tally_ratings read_judgements",
        # display
        "display.show": "show",
        "display.live_curves": "LiveCurves draw_curves",
        "reporting.page": "report",
        "reporting.pictures": "embedding_map",
        "reporting.drawing": "drawn:draw_chart LIGHT:CHART_COLOURS",
        # data sets
        "datasets.demo": "DemoSettings draw_demo appearance_distances read_relevance within_class_triplets",
        "datasets.paint": "Appearance",
        "datasets.tiny_imagenet": "prepare_tiny_imagenet",
        "datasets.human_triplets": "prepare_human_triplets",
        # errors, and what scripts need
        "errors": "DeepRankingError MissingExtraError expect",
        "cli.shared": "import_keras",
        "cli": "COMMANDS run_command",
        "files": "written_whole",
        "progress": "progress:progress_bar",
    }
)
"""By the module that has them, the public names; `its:ours` where the module calls it otherwise."""

__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)

register_with_keras()
