"""Devices and number types: what a recipe's names for them mean on this machine."""

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.store.packages import require

# Names of `torch.cpu.get_capabilities`. "bf16" is Arm's: Graviton 3, Grace, Ampere One.
_MULTIPLIES_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


def resolve_device(device: str) -> str:
    """Return the torch device that a name stands for.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:1` ...; `auto` is `cuda` where there is a CUDA device
            and `cpu` elsewhere.

    Raises:
        ModelError: There is no such device here, or torch is not installed.
    """
    require("torch")
    import torch  # an optional dependency, and slow to import

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"Got device '{device}'; expected 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
        ) from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"Got device '{device}', but {torch.cuda.device_count()} CUDA devices are visible; "
            "use 'auto' or 'cpu', or install a build of torch for your GPU."
        )
    return str(place)


def resolve_dtype(spec: ModelSpec, device: str, embedder: bool = False) -> str:
    """Return the number type of a model's weights and forward pass.

    `auto` is bfloat16 where the hardware multiplies it natively, and float32 elsewhere: without
    AVX512-BF16 or AMX, a CPU computes bfloat16 and float16 several times slower than float32
    (docs/decisions.md). Embedders are always float32 under `auto`: they are small, and their
    vectors are compared closely.

    Args:
        spec: The model.
        device: A device as :func:`resolve_device` returns it.
        embedder: Whether the model is an embedder.

    Returns:
        `float32`, `bfloat16` or `float16`.
    """
    if spec.dtype != "auto":
        return spec.dtype
    return "bfloat16" if not embedder and _native_bfloat16(device) else "float32"


def _native_bfloat16(device: str) -> bool:
    """Return whether a device multiplies bfloat16 in hardware."""
    import torch  # an optional dependency, and slow to import

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    if not any(torch.cpu.get_capabilities().get(name) for name in _MULTIPLIES_BFLOAT16):
        return False
    # oneDNN, which multiplies, may be built without the instructions that the processor has, or be
    # held to fewer. It is not asked alone: any AVX512 is enough for it, where it only converts.
    mkldnn = torch.backends.mkldnn.is_available()
    return bool(mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
