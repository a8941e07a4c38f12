%% Both ends of the Erlang peer. Orders and answers are lines, as those of the other peers.
-module(bench_peer).
-export([serve/0, ask/1, echo/1, sink/0]).

-define(MESSAGE_BYTES, 1048576).
%% How many messages may be under way: so much that the link is never idle, and no more.
-define(MESSAGES_WAITING_MAX, 8).

%% The end that answers.
serve() ->
    spawn(fun() ->
        io:format("ready~n"),
        input_ends()
    end).

input_ends() ->
    case io:get_line("") of
        Line when is_list(Line) -> input_ends();
        _ -> halt(0)
    end.

echo(Payload) -> Payload.

%% Takes messages, and says so to who sent them.
sink() ->
    receive
        {From, Payload} ->
            From ! {taken, byte_size(Payload)},
            sink();
        stop -> ok
    end.

%% The end that asks.
ask([Node]) ->
    true = net_kernel:connect_node(Node),
    spawn(fun() ->
        io:format("ready~n"),
        orders(Node)
    end).

orders(Node) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            Words = string:lexemes(Line, " \n"),
            try answer(Node, Words)
            catch _:Why -> io:format("error ~0p~n", [Why])
            end,
            orders(Node);
        _ -> halt(0)
    end.

answer(Node, ["calls", Concurrency, Bytes, Duration]) ->
    Payload = binary:copy(<<7>>, list_to_integer(Bytes)),
    Begin = now_us(),
    End = Begin + 1000 * list_to_integer(Duration),
    Self = self(),
    Lanes = [spawn_link(fun() -> Self ! {self(), lane(Node, Payload, End, [])} end)
             || _ <- lists:seq(1, list_to_integer(Concurrency))],
    Latencies = lists:append([receive {Lane, Times} -> Times end || Lane <- Lanes]),
    tell(Latencies, 0, now_us() - Begin);
answer(Node, ["bulk", Bytes]) ->
    Begin = now_us(),
    Count = list_to_integer(Bytes) div ?MESSAGE_BYTES,
    send(Node, Count, 0, Begin),
    tell([], Count * ?MESSAGE_BYTES, now_us() - Begin);
answer(Node, ["beside", Rate, Duration]) ->
    Begin = now_us(),
    Self = self(),
    Count = list_to_integer(Rate) * list_to_integer(Duration) div 1000 div ?MESSAGE_BYTES,
    Sender = spawn_link(fun() ->
        send(Node, Count, list_to_integer(Rate), Begin),
        Self ! {self(), now_us() - Begin}
    end),
    Payload = binary:copy(<<7>>, 64),
    Calls = [begin
        Due = Begin + 1000 * Number,
        wait_until(Due),
        spawn_link(fun() ->
            Payload = erpc:call(Node, ?MODULE, echo, [Payload]),
            Self ! {self(), now_us() - Due}
        end)
    end || Number <- lists:seq(1, list_to_integer(Duration))],
    Latencies = [receive {Call, Time} -> Time end || Call <- Calls],
    Elapsed = receive {Sender, Time} -> Time end,
    tell(Latencies, Count * ?MESSAGE_BYTES, Elapsed).

lane(Node, Payload, End, Times) ->
    Before = now_us(),
    case Before < End of
        true ->
            Payload = erpc:call(Node, ?MODULE, echo, [Payload]),
            lane(Node, Payload, End, [now_us() - Before | Times]);
        false -> Times
    end.

%% Sends so many messages, at a rate in bytes a second; 0 is as fast as they go.
send(Node, Count, Rate, Begin) ->
    Sink = spawn(Node, ?MODULE, sink, []),
    send(Sink, binary:copy(<<7>>, ?MESSAGE_BYTES), 0, Count, 0, Rate, Begin),
    Sink ! stop.

send(_, _, Count, Count, 0, _, _) -> ok;
send(Sink, Payload, Sent, Count, Waiting, Rate, Begin)
  when Sent < Count, Waiting < ?MESSAGES_WAITING_MAX ->
    case Rate of
        0 -> ok;
        _ -> wait_until(Begin + Sent * ?MESSAGE_BYTES * 1000000 div Rate)
    end,
    Sink ! {self(), Payload},
    send(Sink, Payload, Sent + 1, Count, Waiting + 1, Rate, Begin);
send(Sink, Payload, Sent, Count, Waiting, Rate, Begin) ->
    receive {taken, _} -> send(Sink, Payload, Sent, Count, Waiting - 1, Rate, Begin) end.

wait_until(Due) ->
    case Due - now_us() of
        Left when Left > 0 -> receive after (Left + 999) div 1000 -> ok end;
        _ -> ok
    end.

now_us() -> erlang:monotonic_time(microsecond).

tell(Latencies, Bytes, Elapsed) ->
    Sorted = list_to_tuple(lists:sort(Latencies)),
    Count = tuple_size(Sorted),
    At = fun(Part) -> case Count of
        0 -> 0;
        _ -> element(min(Count, Count * Part div 100 + 1), Sorted)
    end end,
    io:format("calls=~w failed=0 bytes=~w seconds=~w p50_us=~w p99_us=~w max_us=~w~n",
              [Count, Bytes, Elapsed / 1000000, At(50), At(99), At(100)]).
