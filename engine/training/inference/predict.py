"""Predict with a trained network: the engine's side of `main.py predict`, for any task that can."""

from __future__ import annotations

import time
from typing import Any, Final

import torch

from engine.errors import UserError
from engine.outputs.free_cores import Threads, choose_threads
from engine.outputs.inference.prediction import OnImage, PredictReport, PredictRequest
from engine.task import CanPredict, Predictor, Tensors, untapped
from engine.training.data.threads import Crew
from engine.training.device import describe, thread_count
from engine.training.inference.pipeline import Pipeline
from engine.training.inference.trained_model import TrainedModel, open_trained

_METERED: Final = 0.25
"""Seconds in which the load of other programs is measured, while the network is loaded."""


def predict(request: PredictRequest, on_image: OnImage) -> PredictReport:
    """Write the network's predictions for the images of a request, and call `on_image` after each.

    An image that cannot be used is reported, and the others go on. Raises UserError if the task cannot predict, nothing
    can be predicted, or a file cannot be written.
    """
    meter = Crew[Threads](1, "predict_threads")
    threads = meter.submit(choose_threads, _METERED)
    trained = open_trained(request.source, device=request.device, weights=request.weights)
    task = trained.task
    if not isinstance(task, CanPredict):
        name = task.spec.name or trained.config.task
        raise UserError(f"the task {name!r} has no `predictor`: its networks cannot be used on images of your own")
    predictor = task.predictor(trained.config, request)
    try:
        with thread_count(threads.result().count):
            return _run(trained, request, predictor, on_image)
    except OSError as error:
        raise UserError(f"the predictions in {request.output} cannot be written: {error.strerror or error}") from error
    finally:
        meter.close(0.0)
        predictor.cancel()


def _run(trained: TrainedModel, request: PredictRequest, predictor: Predictor, on_image: OnImage) -> PredictReport:
    """Predict all images and return the report. Raises OSError if a file cannot be written."""
    began, device = time.perf_counter(), describe(trained.device)
    pipeline = run_pipeline(trained, predictor, request.batch_size, on_image)
    results = predictor.finish()
    return PredictReport(
        checkpoint=trained.checkpoint,
        step=trained.step,
        weights=trained.weights,
        device=device,
        num_images=sum(result.num_masks > 0 for result in pipeline.results),
        num_masks=sum(result.num_masks for result in pipeline.results),
        seconds=time.perf_counter() - began,
        network_seconds=pipeline.network_seconds,
        output=request.output,
        results=results,
        problems=tuple(f"{result.name}: {problem}" for result in pipeline.results for problem in result.problems),
        notes=predictor.notes,
    )


def run_pipeline(trained: TrainedModel, predictor: Predictor, batch_size: int, on_image: OnImage) -> Pipeline:
    """Predict all images with torch's number of threads, and return the finished pipeline. Raises OSError.

    On the CPU each thread computes a part of a batch on its own. Threads that divide one operation wait for each other
    at its end, for as long as one of them lacks a processor.
    """
    num_networks = torch.get_num_threads() if trained.device.type == "cpu" else 1
    with thread_count(1 if num_networks > 1 else 0):
        pipeline = Pipeline(
            predictor, network_of(trained), batch_size=batch_size, on_image=on_image, num_networks=num_networks
        )
        pipeline.run()
    return pipeline


def network_of(trained: TrainedModel) -> Any:
    """Return the function that computes the outputs of a batch on the network's device."""
    device = trained.device

    def outputs_of(batch: Tensors) -> Any:
        with torch.inference_mode():
            held = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
            return trained.task.forward(trained.model, held, trained.components, untapped)

    return outputs_of
