"""Objects with tensors in them, sent through a socket."""

import errno
import socket
import threading
from typing import Any

import numpy as np
import pytest
import torch

import coopcut.data.channel
from coopcut.data.channel import ChannelError, GoneError, receive, send


def sent(value: Any) -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=send, args=(theirs, value))
        thread.start()
        received = receive(ours)
        thread.join()
    return received


def test_all_tensors_arrive_bit_for_bit() -> None:
    torch.manual_seed(0)
    bits = torch.randint(0, 256, (3, 5, 16), dtype=torch.uint8)
    types = (torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64)
    for plain in [bits.view(kind) for kind in types] + [torch.tensor(3.5), torch.empty(0, 4), torch.rand(2, 3) > 0.5]:
        for tensor in (plain, plain.transpose(0, -1) if plain.ndim else plain, plain[:1] if plain.ndim else plain):
            received = sent({"x": [tensor]})["x"][0]
            assert (received.dtype, received.shape) == (tensor.dtype, tensor.shape)
            assert received.reshape(-1).view(torch.uint8).equal(tensor.reshape(-1).view(torch.uint8))
            assert not received.is_shared()
    special = torch.rand(2, 3, requires_grad=True)
    assert sent(special).requires_grad
    conjugate = torch.rand(2, dtype=torch.complex64).conj()
    assert torch.equal(sent(conjugate), conjugate)
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    assert np.array_equal(sent(array), array)
    twice = sent((bits, bits))
    assert twice[0] is twice[1]


def test_large_results_arrive_and_a_side_that_goes_is_told_of() -> None:
    large = torch.rand(3, 1000, 1001)  # 12 MB: no buffer of a socket or pipe holds as much
    assert torch.equal(sent((large, "name"))[0], large)
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\0" * 7)
        theirs.close()
        with pytest.raises(GoneError):
            receive(ours)
        with pytest.raises(GoneError):
            send(ours, large)
        with pytest.raises(AttributeError, match="pickle"):  # before anything is sent
            send(ours, lambda: 0)


class Connection(socket.socket):
    """Notes how much is sent at once; fails with the number `error` if there is one."""

    def __init__(self, error: int = 0) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.error = error

    def sendall(self, part: Any, flags: int = 0) -> None:
        if self.error:
            raise OSError(self.error, "what the system says")
        self.sizes.append(len(part))

    def recv_into(self, *_: Any) -> int:
        raise OSError(self.error, "what the system says")


def test_no_more_is_sent_at_once_than_systems_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coopcut.data.channel, "MOST", 1000)
    with Connection() as connection:
        send(connection, torch.zeros(2500, dtype=torch.uint8))
    assert connection.sizes[-3:] == [1000, 1000, 500]
    assert max(connection.sizes) == 1000
    tensor = torch.arange(2500)
    assert torch.equal(sent(tensor), tensor)


@pytest.mark.parametrize("error", [errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ENOBUFS])
def test_only_a_side_that_is_gone_is_taken_for_one(error: int) -> None:
    gone = error in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
    with Connection(error) as connection:
        for use in (lambda: send(connection, 1), lambda: receive(connection)):
            with pytest.raises(ChannelError) as caught:
                use()
            assert isinstance(caught.value, GoneError) == gone
            assert str(caught.value) == ("" if gone else "what the system says")
    with pytest.raises(GoneError):  # closed on purpose
        send(connection, 1)
