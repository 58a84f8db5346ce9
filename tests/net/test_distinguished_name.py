"""Subjects as text: equal to what OpenSSL prints, and harmless."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.net.distinguished_name import render


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (((("commonName", "client1"),),), "CN=client1"),
        (((("countryName", "DE"),), (("organizationName", "Books"),), (("commonName", "a"),)), "CN=a,O=Books,C=DE"),
        (((("commonName", "a"), ("userId", "7")),), "CN=a+UID=7"),
        (((("emailAddress", "a@b.c"),),), "emailAddress=a@b.c"),
        (((("commonName", 'x",URI=spiffe://y;z'),),), 'CN=x\\"\\,URI=spiffe://y\\;z'),
        (((("commonName", " # "),),), "CN=\\ #\\ "),
        (((("commonName", "#a\r\nb\\"),),), "CN=\\#a\\0D\\0Ab\\\\"),
        (((("commonName", "Jürgen"),),), "CN=J\\C3\\BCrgen"),
    ],
)
def test_as_openssl_writes_it(names, text):
    assert render(names) == text


@given(st.lists(st.text(), max_size=3))
def test_nobody_s_name_ends_the_quotes_it_stands_in(values):
    text = render((("commonName", value),) for value in values)
    assert text.isascii()
    assert text.isprintable()
    assert not re.search(r'(?<!\\)(?:\\\\)*"', text)
