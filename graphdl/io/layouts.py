"""The layouts that are known by name: what Hugging Face's and other libraries call the parameters of `nn.models`."""

from __future__ import annotations

from ..errors import FormatError
from .layout import Layout, Row

_LLAMA_LAYER = "model.layers.{0}."
_LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # matrices that GPT-2 stores as (inputs, outputs)

GPT2 = (
    Row("**.attn.bias"),  # the causal mask, not a bias
    Row("**.attn.masked_bias"),
    Row("lm_head.*", ("lm_head.{0}",)),
    Row("transformer.**", ("transformer.{0}",)),
    Row("**", ("transformer.{0}",)),
)
NANOGPT = (
    *GPT2[:2],
    *(Row(f"transformer.h.*.{name}.weight", (f"transformer.h.{{0}}.{name}.weight",), transposed=True) for name in _LINEAR),
)
LLAMA = (
    Row("**.rotary_emb.inv_freq"),
    Row("model.layers.*.self_attn.qkv_proj.weight", tuple(f"{_LLAMA_LAYER}self_attn.{part}_proj.weight" for part in "qkv")),
    Row("model.layers.*.mlp.gate_up_proj.weight", tuple(f"{_LLAMA_LAYER}mlp.{part}_proj.weight" for part in ("gate", "up"))),
)
BERT = (
    Row("**.position_ids"),
    Row("cls.**"),
    Row("bert.**.gamma", ("{0}.weight",)),
    Row("bert.**.beta", ("{0}.bias",)),
    Row("**.gamma", ("{0}.weight",)),
    Row("**.beta", ("{0}.bias",)),
    Row("bert.**", ("{0}",)),
)
RESNET = (
    Row("resnet.**.embedder.convolution.*", ("conv1.{1}",)),
    Row("resnet.**.embedder.normalization.*", ("bn1.{1}",)),
    Row("resnet.encoder.stages.*.layers.*.layer.*.convolution.*", ("layer{0+1}.{1}.conv{2+1}.{3}",)),
    Row("resnet.encoder.stages.*.layers.*.layer.*.normalization.*", ("layer{0+1}.{1}.bn{2+1}.{3}",)),
    Row("resnet.encoder.stages.*.layers.*.shortcut.convolution.*", ("layer{0+1}.{1}.downsample.0.{2}",)),
    Row("resnet.encoder.stages.*.layers.*.shortcut.normalization.*", ("layer{0+1}.{1}.downsample.1.{2}",)),
    Row("classifier.1.*", ("fc.{0}",)),
)
LAYOUTS = {name: Layout(name, rows) for name, rows in (("bert", BERT), ("gpt2", GPT2), ("llama", LLAMA), ("nanogpt", NANOGPT), ("resnet", RESNET))}


def layout_of(layout: str | Layout) -> Layout:
    """The layout of that name, or the one given. Raises FormatError for an unknown name."""
    if isinstance(layout, Layout):
        return layout
    if layout not in LAYOUTS:
        raise FormatError(f"no layout is called {layout!r}: known are {', '.join(LAYOUTS)}; or give an io.Layout of rows")
    return LAYOUTS[layout]
