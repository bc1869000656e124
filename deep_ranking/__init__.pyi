# Written by `python tests/test_door.py` from the table in __init__.py.
# ruff: noqa
# fmt: off
__version__: str
from deep_ranking.embedding.model import load as load
from deep_ranking.embedding.model import Model as Model
from deep_ranking.embedding.engines import make_engine as make_engine
from deep_ranking.embedding.engines import resolve as resolve_engine
from deep_ranking.embedding.engines import has_accelerator as has_accelerator
from deep_ranking.triplets.file import Triplet as Triplet
from deep_ranking.triplets.file import TripletFileError as TripletFileError
from deep_ranking.triplets.file import read_triplets as read_triplets
from deep_ranking.triplets.file import write_triplets as write_triplets
from deep_ranking.triplets.file import write_blocks as write_triplet_blocks
from deep_ranking.triplets.table import Triplets as Triplets
from deep_ranking.triplets.table import LabelledImages as LabelledImages
from deep_ranking.triplets.uniform import split_images as split_images
from deep_ranking.triplets.uniform import UniformSampler as UniformSampler
from deep_ranking.triplets.uniform import ClassBatches as ClassBatches
from deep_ranking.triplets.importance import ImportanceSampler as ImportanceSampler
from deep_ranking.triplets.settings import ImportanceSettings as ImportanceSettings
from deep_ranking.triplets.online import OnlineSampler as OnlineSampler
from deep_ranking.triplets.online import OnlineTriplets as OnlineTriplets
from deep_ranking.triplets.relevance import Relevance as Relevance
from deep_ranking.triplets.relevance import FeatureRelevance as FeatureRelevance
from deep_ranking.triplets.relevance import HierarchyRelevance as HierarchyRelevance
from deep_ranking.triplets.relevance import LabelRelevance as LabelRelevance
from deep_ranking.triplets.relevance import PairRelevance as PairRelevance
from deep_ranking.images.find import find_images as find_images
from deep_ranking.images.find import find_classes as find_classes
from deep_ranking.images.decode import read_image as read_image
from deep_ranking.images.decode import ImageError as ImageError
from deep_ranking.images.loader import load_batches as load_image_batches
from deep_ranking.images.cache import ImageCache as ImageCache
from deep_ranking.images.likeness import Likeness as Likeness
from deep_ranking.images.augment import Augmentation as Augmentation
from deep_ranking.images.augment import PRESETS as AUGMENTATIONS
from deep_ranking.images.augment import ImageDataGenerator as ImageDataGenerator
from deep_ranking.images.batches import TripletBatches as TripletBatches
from deep_ranking.images.batches import LabelledBatches as LabelledBatches
from deep_ranking.images.batches import BatchStream as BatchStream
from deep_ranking.network.settings import NetworkSettings as NetworkSettings
from deep_ranking.network.backbones import BACKBONES as BACKBONES
from deep_ranking.network.network import build_network as build_network
from deep_ranking.network.network import average_mirror as average_mirror
from deep_ranking.network.network import paper_paths as paper_paths
from deep_ranking.network.network import blog_paths as blog_paths
from deep_ranking.network.layers import LabColour as LabColour
from deep_ranking.network.layers import ColourHistogram as ColourHistogram
from deep_ranking.network.file import save_network as save_network
from deep_ranking.network.file import load_network as load_network
from deep_ranking.network.file import ModelFileError as ModelFileError
from deep_ranking.network.weights import load_weights as load_weights
from deep_ranking.ranking.loss import TripletHingeLoss as TripletHingeLoss
from deep_ranking.ranking.loss import MinedTripletLoss as MinedTripletLoss
from deep_ranking.ranking.proxies import ProxyLoss as ProxyLoss
from deep_ranking.ranking.proxies import Proxies as Proxies
from deep_ranking.ranking.distances import Distance as Distance
from deep_ranking.ranking.distances import DISTANCES as DISTANCES
from deep_ranking.ranking.distances import register_distance as register_distance
from deep_ranking.ranking.metrics import ranking_metrics as ranking_metrics
from deep_ranking.ranking.metrics import mining_metrics as mining_metrics
from deep_ranking.training.run import train as train
from deep_ranking.training.run import Trained as Trained
from deep_ranking.training.settings import TrainingSettings as TrainingSettings
from deep_ranking.training.settings import RunOptions as RunOptions
from deep_ranking.training.model import build_training_model as build_training_model
from deep_ranking.training.frozen import CachedActivations as CachedActivations
from deep_ranking.blend.learn import Blend as Blend
from deep_ranking.blend.learn import BlendSettings as BlendSettings
from deep_ranking.blend.run import Descriptions as Descriptions
from deep_ranking.blend.run import Learned as Learned
from deep_ranking.blend.run import learn as learn
from deep_ranking.blend.run import ranked_right as ranked_right
from deep_ranking.blend.run import text_query_groups as text_query_groups
from deep_ranking.blend.settings import LearnSettings as LearnSettings
from deep_ranking.blend.golden import GoldenFeature as GoldenFeature
from deep_ranking.blend.golden import independent_groups as independent_groups
from deep_ranking.blend.golden import folds as group_folds
from deep_ranking.search.index import Index as Index
from deep_ranking.search.options import Options as Options
from deep_ranking.search.options import Hit as Hit
from deep_ranking.search.options import Results as Results
from deep_ranking.search.update import update_index as update_index
from deep_ranking.search.update import Update as IndexUpdate
from deep_ranking.search.store import Store as Store
from deep_ranking.search.query import Embedder as Embedder
from deep_ranking.search.stores.registry import register_store as register_store
from deep_ranking.search.image import Image as IndexedImage
from deep_ranking.search.duplicates import find_duplicates as find_duplicates
from deep_ranking.search.groups import Group as Group
from deep_ranking.web.gallery import image_id as page_image_id
from deep_ranking.evaluation.metrics import Metric as Metric
from deep_ranking.evaluation.metrics import register_metric as register_metric
from deep_ranking.evaluation.metrics import Measurement as Measurement
from deep_ranking.evaluation.metrics import Estimate as Estimate
from deep_ranking.evaluation.metrics import bootstrap as bootstrap
from deep_ranking.evaluation.metrics import neighbours as nearest_neighbours
from deep_ranking.evaluation.metrics import measure_retrieval as measure_retrieval
from deep_ranking.evaluation.metrics import measure_triplets as measure_triplets
from deep_ranking.evaluation.metrics import triplet_distances as triplet_distances
from deep_ranking.evaluation.metrics import similarity_precision as similarity_precision
from deep_ranking.evaluation.metrics import score_at_top as score_at_top
from deep_ranking.evaluation.evaluation import Evaluation as Evaluation
from deep_ranking.evaluation.evaluation import evaluate as evaluate
from deep_ranking.evaluation.tasks import TripletTask as TripletTask
from deep_ranking.evaluation.tasks import RetrievalTask as RetrievalTask
from deep_ranking.evaluation.tasks import sample_classes as sample_classes
from deep_ranking.evaluation.metrics.measure import table as results_table
from deep_ranking.evaluation.metrics.triplets import checked_triplets as checked_triplets
from deep_ranking.vectors import Embeddings as Embeddings
from deep_ranking.vectors import read_embeddings as read_embeddings
from deep_ranking.vectors import write_embeddings as write_embeddings
from deep_ranking.ratings import RatingStore as RatingStore
from deep_ranking.ratings import choose as choose_question
from deep_ranking.ratings import tally as tally_ratings
from deep_ranking.display.show import show as show
from deep_ranking.display.live_curves import LiveCurves as LiveCurves
from deep_ranking.display.live_curves import draw_curves as draw_curves
from deep_ranking.reporting.page import report as report
from deep_ranking.reporting.pictures import embedding_map as embedding_map
from deep_ranking.reporting.drawing import drawn as draw_chart
from deep_ranking.reporting.drawing import LIGHT as CHART_COLOURS
from deep_ranking.datasets.demo import DemoSettings as DemoSettings
from deep_ranking.datasets.demo import draw_demo as draw_demo
from deep_ranking.datasets.demo import appearance_distances as appearance_distances
from deep_ranking.datasets.demo import read_relevance as read_relevance
from deep_ranking.datasets.demo import within_class_triplets as within_class_triplets
from deep_ranking.datasets.paint import Appearance as Appearance
from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet as prepare_tiny_imagenet
from deep_ranking.datasets.human_triplets import prepare_human_triplets as prepare_human_triplets
from deep_ranking.errors import DeepRankingError as DeepRankingError
from deep_ranking.errors import MissingExtraError as MissingExtraError
from deep_ranking.errors import expect as expect
from deep_ranking.cli.shared import import_keras as import_keras
from deep_ranking.cli import COMMANDS as COMMANDS
from deep_ranking.cli import run_command as run_command
from deep_ranking.files import written_whole as written_whole
from deep_ranking.progress import progress as progress_bar
__all__ = ["load", "Model", "make_engine", "resolve_engine", "has_accelerator", "Triplet", "TripletFileError",
"read_triplets", "write_triplets", "write_triplet_blocks", "Triplets", "LabelledImages",
"split_images", "UniformSampler", "ClassBatches", "ImportanceSampler", "ImportanceSettings",
"OnlineSampler", "OnlineTriplets", "Relevance", "FeatureRelevance", "HierarchyRelevance",
"LabelRelevance", "PairRelevance", "find_images", "find_classes", "read_image", "ImageError",
"load_image_batches", "ImageCache", "Likeness", "Augmentation", "AUGMENTATIONS",
"ImageDataGenerator", "TripletBatches", "LabelledBatches", "BatchStream", "NetworkSettings",
"BACKBONES", "build_network", "average_mirror", "paper_paths", "blog_paths", "LabColour",
"ColourHistogram", "save_network", "load_network", "ModelFileError", "load_weights",
"TripletHingeLoss", "MinedTripletLoss", "ProxyLoss", "Proxies", "Distance", "DISTANCES",
"register_distance", "ranking_metrics", "mining_metrics", "train", "Trained", "TrainingSettings",
"RunOptions", "build_training_model", "CachedActivations", "Blend", "BlendSettings", "Descriptions",
"Learned", "learn", "ranked_right", "text_query_groups", "LearnSettings", "GoldenFeature",
"independent_groups", "group_folds", "Index", "Options", "Hit", "Results", "update_index",
"IndexUpdate", "Store", "Embedder", "register_store", "IndexedImage", "find_duplicates", "Group",
"page_image_id", "Metric", "register_metric", "Measurement", "Estimate", "bootstrap",
"nearest_neighbours", "measure_retrieval", "measure_triplets", "triplet_distances",
"similarity_precision", "score_at_top", "Evaluation", "evaluate", "TripletTask", "RetrievalTask",
"sample_classes", "results_table", "checked_triplets", "Embeddings", "read_embeddings",
"write_embeddings", "RatingStore", "choose_question", "tally_ratings", "show", "LiveCurves",
"draw_curves", "report", "embedding_map", "draw_chart", "CHART_COLOURS", "DemoSettings",
"draw_demo", "appearance_distances", "read_relevance", "within_class_triplets", "Appearance",
"prepare_tiny_imagenet", "prepare_human_triplets", "DeepRankingError", "MissingExtraError",
"expect", "import_keras", "COMMANDS", "run_command", "written_whole", "progress_bar"]
