"""The number of threads of NumPy's BLAS, which belongs to the whole process."""

from contextlib import ExitStack

import pytest
from threadpoolctl import ThreadpoolController

from backprop_cli import blas

needs_openblas = pytest.mark.skipif(
    not blas.product_address(), reason="needs the BLAS of NumPy's wheels"
)


def number():
    return blas._openblas()._get()


def test_a_limit_is_that_of_every_blas_while_it_lasts():
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [library.num_threads for library in libraries]
    with blas.limited(1):
        assert {library.num_threads for library in libraries} <= {1}
    assert [library.num_threads for library in libraries] == before


@needs_openblas
def test_limits_may_end_in_any_order():
    """As those of several Python threads do."""
    before = number()
    one, two = ExitStack(), ExitStack()
    one.enter_context(blas.limited(2))
    two.enter_context(blas.limited(1))
    assert number() == 1
    one.close()
    assert number() == 1
    two.close()
    assert number() == before


@needs_openblas
def test_what_is_called_from_threads_has_one_thread():
    before = number()
    with blas.limited(2):
        kernels = ExitStack()
        kernels.enter_context(blas.called_from_threads())
        with blas.limited(2):
            assert number() == 1
        assert number() == 1
        kernels.close()
        assert number() == 2
    assert number() == before


def test_another_blas_has_no_product(monkeypatch):
    monkeypatch.setattr(blas, "_PRODUCT", "no_such_function")
    blas._openblas.cache_clear()
    try:
        assert blas.product_address() == 0
        with blas.limited(1):
            pass
        with pytest.raises(RuntimeError, match="another one"), blas.called_from_threads():
            pass
    finally:
        monkeypatch.undo()
        blas._openblas.cache_clear()
