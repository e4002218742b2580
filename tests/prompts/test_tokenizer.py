from dermdit_kedro.prompts.clip import count_tokens
from dermdit_kedro.prompts.instructions import vocabulary
from dermdit_kedro.prompts.parameters import TextEncoderConfig
from dermdit_kedro.prompts.tokenizer import train_tokenizer

CONFIG = TextEncoderConfig()


def test_any_text_survives_the_tokenizer_and_words_of_the_grammar_are_one_token():
    tokenizer = train_tokenizer(vocabulary(), CONFIG)
    for text in ("malignant", "dermoscopic", "extremity", "neck"):
        assert count_tokens(tokenizer, [text]) == [3]
    text = "zebra χ 42%"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).replace(" ", "") == text.replace(
        " ", ""
    )
    assert tokenizer.pad_token_id == tokenizer.eos_token_id != 2
    assert len(tokenizer) <= CONFIG.vocab_size


def test_a_saved_tokenizer_reads_as_before(tmp_path):
    tokenizer = train_tokenizer(vocabulary(), CONFIG)
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    assert again.model_max_length == CONFIG.max_length
    assert all(again(text)["input_ids"] == tokenizer(text)["input_ids"] for text in vocabulary())
