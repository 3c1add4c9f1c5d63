"""The hierarchical UNet: extractor, branches and heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.task import Tap, untapped
from engine.tasks.person.config import ModelConfig
from engine.tasks.person.model.blocks import resized, use_norm
from engine.tasks.person.model.boundary_refinement import BoundaryRefinement
from engine.tasks.person.model.composition import composed_log_probs, shifted_log_probs
from engine.tasks.person.model.extractor import RgbExtractor, shared_features
from engine.tasks.person.model.foreground import ForegroundGate, ForegroundHead
from engine.tasks.person.model.heads import (
    auxiliary_head,
    contour_head,
    distance_head,
    progressive_decoder,
    subpixel_decoder,
)
from engine.tasks.person.model.outputs import Outputs, averaged, box_map, mirrored, without_small_other
from engine.tasks.person.model.target_branch import TargetBranch
from engine.tasks.person.model.unet import UNet


class HierarchicalUNet(nn.Module):
    """The whole network with every refinement's parameters. Inactive refinements are not computed.

    The output of a region does not depend on other regions, except in training with batch norms. Weights and features
    have `memory_format`. `padding` is the context around the box in each region, as a fraction of the box's side.
    """

    memory_format = torch.channels_last

    def __init__(self, config: ModelConfig, *, padding: float = 0.0) -> None:
        super().__init__()
        self.flip_average = config.flip_average
        self.min_other_share = config.min_other_share
        self.padding = padding
        channels = config.extractor_widths[-1]
        self.mask_shape = config.mask_shape
        trunk_shape = [side // config.trunk_stride for side in config.roi_shape]
        growth = max(min(mask // trunk for mask, trunk in zip(self.mask_shape, trunk_shape, strict=True)), 1)
        scale = min(growth, 2)

        self.extractor = RgbExtractor(
            config.extractor_widths, stride=config.trunk_stride, inputs=4 if config.box_channel else 3
        )
        self.box_channel = config.box_channel
        self.shared = shared_features(channels, dropout=config.dropout)
        self.unet = UNet(channels, width=config.unet_width, depth=config.unet_depth)
        self.foreground = ForegroundHead(self.unet.out_channels, scale=scale)
        self.gate = ForegroundGate(channels, decoded=self.unet.out_channels, dropout=config.dropout / 2)
        self.target_branch = TargetBranch(channels, scale=scale, attention=config.attention, dropout=config.dropout)
        self.auxiliary = auxiliary_head(channels, width=config.auxiliary_width)
        self.boundary_refinement = BoundaryRefinement(max(config.extractor_widths[0] // 2, 8))
        self.contour_detection = contour_head(channels, scale=scale)
        self.distance_transform = distance_head(channels, scale=scale)
        self.progressive_upsampling = progressive_decoder(channels, num_doublings=growth.bit_length() - 1)
        self.subpixel_conv = subpixel_decoder(channels, scale=growth)
        use_norm(self, config.norm)
        self.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]  (the stubs lack the keyword)

    def forward(self, image_N3HW: Tensor, active: frozenset[str], tap: Tap = untapped) -> Outputs:
        """Return the outputs of every active head for RGB regions in 0..1; inactive heads are `None`.

        `active` holds names of refinements. All outputs are float32 at mask size, under autocast too. Refinements read
        the shared network through `tap`. In evaluation the outputs are averaged over the mirrored regions and freed of
        small areas of class other, as configured.
        """
        outputs = self._outputs(image_N3HW, active, tap)
        if self.training:
            return outputs
        if self.flip_average:
            outputs = averaged(outputs, mirrored(self._outputs(image_N3HW.flip(-1), active, tap)))
        if self.min_other_share:
            outputs.log_probs_N3HW = without_small_other(outputs.log_probs_N3HW, self.min_other_share, self.padding)
        return outputs

    def _outputs(self, image_N3HW: Tensor, active: frozenset[str], tap: Tap) -> Outputs:
        """Return the outputs of one view of the regions."""
        image_N3HW = image_N3HW.contiguous(memory_format=self.memory_format)
        shared_NCHW = self.shared(self.extractor(self._with_box(image_N3HW)))
        decoded_NCHW = self.unet(shared_NCHW)
        foreground_N2HW, coarse_N2HW = self.foreground(decoded_NCHW)
        target_N2HW = self.target_branch(self.gate(shared_NCHW, coarse_N2HW, decoded_NCHW))
        log_probs_N3HW = composed_log_probs(self._fitted(foreground_N2HW), self._fitted(target_N2HW))
        if "progressive_upsampling" in active:
            shift_N3HW = self.progressive_upsampling(tap("progressive_upsampling", shared_NCHW))
            log_probs_N3HW = shifted_log_probs(log_probs_N3HW, self._fitted(shift_N3HW))
        if "subpixel_conv" in active:
            shift_N3HW = self.subpixel_conv(tap("subpixel_conv", shared_NCHW))
            log_probs_N3HW = shifted_log_probs(log_probs_N3HW, self._fitted(shift_N3HW))
        if "boundary_refinement" in active:
            log_probs_N3HW = self.boundary_refinement(log_probs_N3HW, resized(image_N3HW, self.mask_shape), tap)
        return Outputs(
            log_probs_N3HW=log_probs_N3HW,
            auxiliary_N1HW=self._fitted(self.auxiliary(shared_NCHW)),
            contour_N1HW=self._head("contour_detection", shared_NCHW, active, tap),
            distance_N1HW=self._head("distance_transform", shared_NCHW, active, tap),
        )

    def _with_box(self, image_N3HW: Tensor) -> Tensor:
        """Return the image with a fourth channel if the network reads one: 1 inside the box, 0 around it."""
        if not self.box_channel:
            return image_N3HW
        box_HW = box_map((image_N3HW.shape[-2], image_N3HW.shape[-1]), self.padding).to(image_N3HW)
        box_N1HW = box_HW.expand(image_N3HW.shape[0], 1, -1, -1)
        return torch.cat([image_N3HW, box_N1HW], dim=1).contiguous(memory_format=self.memory_format)

    def _head(self, name: str, shared_NCHW: Tensor, active: frozenset[str], tap: Tap) -> Tensor | None:
        """Return the output of the refinement's head, or `None` if it is inactive."""
        return self._fitted(self.get_submodule(name)(tap(name, shared_NCHW))) if name in active else None

    def parts(self) -> dict[str, nn.Module]:
        """Return the modules that divide the parameters, by name.

        A refinement's module has the refinement's name.
        """
        return dict(self.named_children())

    def _fitted(self, x_NCHW: Tensor) -> Tensor:
        return resized(x_NCHW.float(), self.mask_shape)
