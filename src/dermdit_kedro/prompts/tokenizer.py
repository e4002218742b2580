"""The tokenizer of the text encoder trained in the run: CLIP's byte-level BPE, learned from the prompts."""

import json
from typing import TYPE_CHECKING

from dermdit_kedro.prompts.parameters import TextEncoderConfig

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
"""CLIP's marks; the end mark is its padding too."""


def train_tokenizer(texts: list[str], config: TextEncoderConfig) -> "CLIPTokenizer":
    """Train CLIP's byte-level BPE on texts; any text can be spelt, known words are one token.

    Args:
        texts: Prompts.
        config: vocab_size and max_length.

    Returns:
        A tokenizer whose pad is its end mark, as CLIP's.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    rules = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - len(alphabet) - 2,
        initial_alphabet=alphabet,
        special_tokens=[],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    pieces = [*alphabet, *(f"{byte}</w>" for byte in alphabet), *("".join(pair) for pair in merges), BEGIN, END]
    ids = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=config.max_length)
