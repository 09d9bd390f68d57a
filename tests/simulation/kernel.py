"""Virtual time and virtual threads: what an operating system gives to a program, without its chance.

The program's own threads, locks, queues, futures, event loops and clocks are real code on top of this. One thread
runs at a time, until it waits; when all of them wait, time jumps to the next timer. So an hour takes as long as
what is done in it, and one seed gives one history.

`install()` puts the primitives below into the standard library, once, before the program is imported. They are the
usual ones wherever no kernel is running.
"""

import _thread
import asyncio
import contextlib
import datetime as dt
import heapq
import math
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")

EPOCH = 1_790_000_000.0
"""Unix seconds at which every simulation begins."""

_real_time, real_monotonic, _real_sleep = time.time, time.monotonic, time.sleep
_RealThread = threading.Thread
_real_condition = threading.Condition
_real_lock, _real_rlock = threading.Lock, threading.RLock
_RealSimpleQueue = queue.SimpleQueue


class Killed(BaseException):
    """The process was killed; nothing that it still does has any effect."""


class Stuck(Exception):  # noqa: N818 - a finding
    """Every thread waits for another one, and no timer is left."""


class Process:
    """A program that runs: its threads, and whether it may."""

    def __init__(self, name: str, began_at: float = 0.0) -> None:
        self.name = name
        self.began_at = began_at
        self.ended_at = math.inf
        self.is_dead = False
        self.paused_until = 0.0
        """SIGSTOP, or a laptop that sleeps: its threads go on after this."""
        self.threads: list[VirtualThread] = []
        self.handlers: dict[str, Callable[[], None]] = {}
        """Of signals, by name."""

    @property
    def ended(self) -> bool:
        """Whether all its threads have ended."""
        return all(thread.is_done for thread in self.threads)


class VirtualThread:
    """A thread that runs when the kernel says so."""

    def __init__(self, name: str, process: Process | None) -> None:
        self.name = name
        self.process = process
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.is_done = False
        self.is_ready = False
        self.was_woken = False
        self.signal: Callable[[], None] | None = None
        """What the handler of a signal does, in this thread, where it waits."""
        self.on_done: list[Callable[[], None]] = []


class Timer:
    """Something that happens at a time, unless it is cancelled."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Callable[[], object] | None) -> None:
        self.at = at
        self.action = action

    def cancel(self) -> None:
        """Let it not happen."""
        self.action = None


class Kernel:
    """The clock, the timers and the threads of one simulation."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        """Seconds since the simulation began."""
        self.wall_offset = 0.0
        """How far the machine's wall clock was set forward or back."""
        self.random = random.Random(seed)
        self.failure: BaseException | None = None
        """What ended a thread of the world: a fault of the simulation's own."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._ready: deque[VirtualThread] = deque()
        self.current = VirtualThread("world", None)
        self._root = self.current

    # Time

    def at(self, when: float, action: Callable[[], object]) -> Timer:
        """Let `action` happen at `when`."""
        timer = Timer(max(when, self.now), action)
        self._order += 1
        heapq.heappush(self._timers, (timer.at, self._order, timer))
        return timer

    def after(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Let `action` happen after `seconds`."""
        return self.at(self.now + seconds, action)

    def time(self) -> float:
        """Return what the machine's wall clock says."""
        return EPOCH + self.now + self.wall_offset

    # Threads

    def spawn(self, work: Callable[[], Any], name: str, process: Process | None = None) -> VirtualThread:
        """Start a thread; it runs once the running one waits."""
        process = process or self.current.process
        thread = VirtualThread(name, process)
        if process is not None:
            process.threads.append(thread)
        _Carrier.carry(self, thread, work)
        self.wake(thread)
        return thread

    def wake(self, thread: VirtualThread, *, woken: bool = True) -> None:
        """Let a waiting thread go on; its wait returns `woken`."""
        if thread.is_done or thread.is_ready:
            return
        process = thread.process
        if process is not None and process.paused_until > self.now and not process.is_dead:
            self.at(process.paused_until, lambda: self.wake(thread, woken=woken))
            return
        thread.is_ready, thread.was_woken = True, woken
        self._ready.append(thread)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until woken or until the timeout; say which. Raises Killed in a process that was killed."""
        me = self.current
        _check(me)
        timer = None
        if timeout_s is not None:
            timer = self.after(max(timeout_s, 0.0), lambda: self.wake(me, woken=False))
        self._switch(me)
        if timer is not None:
            timer.cancel()
        if me is self._root and self.failure is not None:
            raise self.failure
        _check(me)
        return me.was_woken

    def sleep(self, seconds: float) -> None:
        """Wait that long, whoever wakes."""
        until = self.now + seconds
        while self.now < until:
            self.wait(until - self.now)

    def kill(self, process: Process) -> None:
        """End a process at once, as SIGKILL does."""
        process.is_dead = True
        for thread in process.threads:
            self.wake(thread)

    def pause(self, process: Process, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP and SIGCONT do."""
        process.paused_until = max(process.paused_until, self.now + seconds)

    def signal(self, thread: VirtualThread, handler: Callable[[], None]) -> None:
        """Run the handler of a signal in the thread, where it waits; it may raise."""
        thread.signal = handler
        self.wake(thread)

    def _switch(self, me: VirtualThread) -> None:
        """Let others run until it is the turn of `me` again; the caller is `me`."""
        chosen = self._next()
        if chosen is not me:
            chosen.baton.release()
            me.baton.acquire()
        self.current = me

    def _leave(self) -> None:
        """Let others run for good."""
        self._next().baton.release()

    def _next(self) -> VirtualThread:
        while True:
            if self.failure is not None:
                return self._root
            if not self._ready:
                self._pass_time()
                continue
            if len(self._ready) > 1 and self.random.random() < 0.3:
                self._ready.rotate(-self.random.randrange(len(self._ready)))
            chosen = self._ready.popleft()
            chosen.is_ready = False
            if not chosen.is_done:
                return chosen

    def _pass_time(self) -> None:
        """Go to the next timer."""
        if not self._timers:
            self.failure = Stuck("every thread waits, and nothing will wake one")
            return
        at, _, timer = heapq.heappop(self._timers)
        action, timer.action = timer.action, None
        if action is None:
            return
        self.now = max(self.now, at)
        self.current = self._root
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised where the simulation is run
            self.failure = error


def _check(thread: VirtualThread) -> None:
    if thread.process is not None and thread.process.is_dead:
        raise Killed
    if thread.signal is not None:
        handler, thread.signal = thread.signal, None
        handler()


class _Carrier:
    """A thread of the machine that carries virtual ones, one after another."""

    _idle: ClassVar[list["_Carrier"]] = []

    def __init__(self) -> None:
        self._begin = _thread.allocate_lock()
        self._begin.acquire()
        self._job: tuple[Kernel, VirtualThread, Callable[[], Any]] | None = None
        with _bypassed():
            _RealThread(target=self._run, name="carrier", daemon=True).start()

    @classmethod
    def carry(cls, kernel: Kernel, thread: VirtualThread, work: Callable[[], Any]) -> None:
        carrier = cls._idle.pop() if cls._idle else cls()
        carrier._job = (kernel, thread, work)
        carrier._begin.release()

    def _run(self) -> None:
        while True:
            self._begin.acquire()
            if self._job is None:
                return
            (kernel, thread, work), self._job = self._job, None
            thread.baton.acquire()
            kernel.current = thread
            try:
                _check(thread)
                work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - told to whoever runs the simulation
                kernel.failure = kernel.failure or error
            thread.is_done = True
            del work
            kernel.current = kernel._root
            for action in thread.on_done:
                action()
            self._idle.append(self)
            kernel._leave()


_running: Kernel | None = None


def running() -> Kernel | None:
    """Return the kernel that runs now, if one does."""
    return _running


@contextlib.contextmanager
def simulated(seed: int) -> Iterator[Kernel]:
    """Let time and threads be a kernel's while inside."""
    global _running  # noqa: PLW0603 - what the standard library's functions find
    kernel = _running = Kernel(seed)
    try:
        yield kernel
    finally:
        _running = None


@contextlib.contextmanager
def _bypassed() -> Iterator[None]:
    global _running  # noqa: PLW0603 - as above
    kernel, _running = _running, None
    try:
        yield
    finally:
        _running = kernel


# The primitives


class _Lock:
    def __init__(self, kernel: Kernel, *, is_reentrant: bool) -> None:
        self._kernel = kernel
        self._is_reentrant = is_reentrant
        self._owner: VirtualThread | None = None
        self._depth = 0
        self._waiters: deque[VirtualThread] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = self._kernel.current
        if self._owner is me and self._is_reentrant:
            self._depth += 1
            return True
        while self._owner is not None:
            if not blocking:
                return False
            self._waiters.append(me)
            woken = self._kernel.wait(timeout if timeout >= 0 else None)
            if not woken and self._owner is not None:
                return False
        self._owner, self._depth = me, 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth <= 0:
            self._owner, self._depth = None, 0
            while self._waiters:
                self._kernel.wake(self._waiters.popleft())

    def locked(self) -> bool:
        return self._owner is not None

    def _is_owned(self) -> bool:
        return self._owner is self._kernel.current

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Condition:
    def __init__(self, kernel: Kernel, lock: Any = None) -> None:
        self._kernel = kernel
        self._lock = lock if lock is not None else _Lock(kernel, is_reentrant=True)
        self._waiters: deque[VirtualThread] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> None:
        self._lock.__exit__(*args)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until notified; unlike a thread of the kernel, whoever waits here is not woken for nothing."""
        me = self._kernel.current
        until = None if timeout is None else self._kernel.now + timeout
        self._waiters.append(me)
        self._lock.release()
        try:
            while me in self._waiters:
                left_s = None if until is None else until - self._kernel.now
                if left_s is not None and left_s <= 0:
                    return False
                self._kernel.wait(left_s)
        finally:
            if me in self._waiters:
                self._waiters.remove(me)
            if me.process is None or not me.process.is_dead:
                self._lock.acquire()
        return True

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        until = None if timeout is None else self._kernel.now + timeout
        result = predicate()
        while not result:
            left_s = None if until is None else until - self._kernel.now
            if left_s is not None and left_s <= 0:
                break
            self.wait(left_s)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        for _ in range(min(n, len(self._waiters))):
            self._kernel.wake(self._waiters.popleft())

    def notify_all(self) -> None:
        self.notify(len(self._waiters))


class _SimpleQueue:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._items: deque[Any] = deque()
        self._waiters: deque[VirtualThread] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        if self._waiters:
            self._kernel.wake(self._waiters.popleft())

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        until = None if timeout is None else self._kernel.now + timeout
        while not self._items:
            left_s = None if until is None else until - self._kernel.now
            if not block or (left_s is not None and left_s <= 0):
                raise queue.Empty
            me = self._kernel.current
            self._waiters.append(me)
            try:
                self._kernel.wait(left_s)
            finally:
                if me in self._waiters:
                    self._waiters.remove(me)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class _Thread(threading.Thread):  # evaluated before `install`: the machine's own
    """A thread of the machine, or one of the kernel's where it was made while one runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kernel = _running
        self._virtual: VirtualThread | None = None

    def start(self) -> None:
        if self._kernel is None:
            super().start()
        else:
            self._virtual = self._kernel.spawn(self.run, self.name)

    def is_alive(self) -> bool:
        if self._kernel is None:
            return super().is_alive()
        return self._virtual is not None and not self._virtual.is_done

    def join(self, timeout: float | None = None) -> None:
        if self._kernel is None:
            super().join(timeout)
            return
        thread, kernel = self._virtual, self._kernel
        if _running is not kernel:
            return
        until = None if timeout is None else kernel.now + timeout
        if thread is not None and not thread.is_done:
            me = kernel.current
            thread.on_done.append(lambda: kernel.wake(me))
            while not thread.is_done and (until is None or kernel.now < until):
                kernel.wait(None if until is None else until - kernel.now)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is the kernel's."""

    def __init__(self, kernel: Kernel) -> None:
        selector: Any = _NoSelector(kernel)
        super().__init__(selector)
        self._kernel = kernel
        self._thread: VirtualThread | None = None
        self._is_told = False

    def time(self) -> float:
        return self._kernel.now if hasattr(self, "_kernel") else 0.0

    def close(self) -> None:
        """Nothing to close; what a killed process has left in it may still be swept up."""

    def _make_self_pipe(self) -> None:
        """Nothing to make: another thread wakes this one itself."""

    def _close_self_pipe(self) -> None:
        """Nothing to close."""

    def _write_to_self(self) -> None:
        self._is_told = True
        if self._thread is not None:
            self._kernel.wake(self._thread)

    def wait(self, timeout_s: float | None) -> None:
        if not self._is_told:
            self._thread = self._kernel.current
            try:
                self._kernel.wait(timeout_s)
            finally:
                self._thread = None
        self._is_told = False


class _NoSelector:
    """Waits for nothing but time and other threads: there are no sockets."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def select(self, timeout: float | None = None) -> list[Any]:
        loop = asyncio.get_running_loop()
        if (timeout is None or timeout > 0) and isinstance(loop, Loop):
            loop.wait(timeout)
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}

    def close(self) -> None:
        """Nothing to close."""


class Portal:
    """anyio's blocking portal, as far as the program uses it: a loop in a thread, for callers in others."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def start_task_soon(self, func: Callable[..., Any], *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def begin() -> None:
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - told to the caller
                future.set_exception(error)
                return
            if not asyncio.iscoroutine(result):
                future.set_result(result)
                return
            task = self._loop.create_task(result)
            task.add_done_callback(lambda done: _settle(future, done))

        self._loop.call_soon_threadsafe(begin)
        return future

    def call(self, func: Callable[..., Any], *args: Any) -> Any:
        return self.start_task_soon(func, *args).result()


def _settle(future: "Future[Any]", task: "asyncio.Task[Any]") -> None:
    if future.cancelled():
        return
    if task.cancelled():
        future.cancel()
        future.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


@contextlib.contextmanager
def start_blocking_portal(*_: Any, **__: Any) -> Iterator[Portal]:
    """Run a loop in a thread while inside; what still runs there at the end is waited for, or cancelled."""
    kernel = _running
    assert kernel is not None
    loop = Loop(kernel)
    loop.set_exception_handler(lambda *_: None)
    process = kernel.current.process

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined] # of a process that was killed

    thread = kernel.spawn(run, "portal")
    try:
        yield Portal(loop)
    finally:
        if process is None or not process.is_dead:
            # As anyio does on the way out with an error; without one there is nothing left to wait for here.
            def end() -> None:
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.call_soon(loop.call_soon, loop.stop)

            loop.call_soon_threadsafe(end)
            while not thread.is_done:
                kernel.wait(0.01)


class _Datetime(dt.datetime):
    """The datetime class, whose now is the kernel's."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return dt.datetime.fromtimestamp(time.time(), tz)


def virtual_datetime(modules: dict[str, Any]) -> None:
    """Install a datetime with the kernel's time in the program's modules."""
    for name, module in list(modules.items()):
        if name.startswith("dzbgp.") and getattr(module, "datetime", None) is dt.datetime:
            module.datetime = _Datetime


def install() -> None:
    """Put the primitives into the standard library. To be called before the program is imported."""

    def lock() -> Any:
        return _real_lock() if _running is None else _Lock(_running, is_reentrant=False)

    def rlock() -> Any:
        return _real_rlock() if _running is None else _Lock(_running, is_reentrant=True)

    def condition(of: Any = None) -> Any:
        return _real_condition(of) if _running is None else _Condition(_running, of)

    def simple_queue() -> Any:
        return _RealSimpleQueue() if _running is None else _SimpleQueue(_running)

    def sleep(seconds: float) -> None:
        if _running is None:
            _real_sleep(seconds)
        else:
            _running.sleep(seconds)

    library: Any = threading
    library.Lock, library.RLock, library.Condition, library.Thread = lock, rlock, condition, _Thread
    clock: Any = time
    clock.time = lambda: _real_time() if _running is None else _running.time()
    clock.monotonic = lambda: real_monotonic() if _running is None else 1_000.0 + _running.now
    clock.perf_counter = clock.monotonic
    clock.time_ns = lambda: int(clock.time() * 1e9)
    clock.monotonic_ns = lambda: int(clock.monotonic() * 1e9)
    clock.sleep = sleep
    queues: Any = queue
    queues.SimpleQueue = simple_queue
