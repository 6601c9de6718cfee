/* Two chained hops through RabbitMQ with nothing but what they need: consume, publish persistent and mandatory, wait for the confirm, acknowledge.
 *
 *   confirmed_hop amqp://user:password@host:port/vhost quorum|classic MESSAGES PREFETCH all|first
 *
 * Fills queue raw_a, then moves all of it to raw_b and from there to raw_c; with "first" the second hop only acknowledges, as the
 * last stage of a pipeline does. Prints hops a second. One thread, one connection: a channel to consume and one to publish. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BODY = 300, CONSUME = 1, PUBLISH = 2, ACKNOWLEDGE_AFTER = 32, TIMEOUT_S = 60 };

static amqp_connection_state_t connection;

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void check(const char *what) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("%s failed (reply type %d)", what, reply.reply_type);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void open_connection(char *url) {
  struct amqp_connection_info where;
  if (amqp_parse_url(url, &where) != AMQP_STATUS_OK) die("cannot read the address");
  connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (!socket || amqp_socket_open(socket, where.host, where.port) != AMQP_STATUS_OK) die("cannot connect");
  amqp_rpc_reply_t login =
      amqp_login(connection, where.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, where.user, where.password);
  if (login.reply_type != AMQP_RESPONSE_NORMAL) die("cannot log in");
  for (int channel = CONSUME; channel <= PUBLISH; channel++) {
    amqp_channel_open(connection, channel);
    check("opening a channel");
  }
  amqp_confirm_select(connection, PUBLISH);
  check("asking for confirms");
}

static void declare(const char *name, const char *type) {
  amqp_table_entry_t entry = {.key = amqp_cstring_bytes("x-queue-type"),
                              .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(type)}};
  amqp_table_t arguments = {.num_entries = 1, .entries = &entry};
  amqp_queue_declare(connection, CONSUME, amqp_cstring_bytes(name), 0, 1, 0, 0, arguments);
  check("declaring a queue");
}

static void publish(const char *queue, amqp_bytes_t body) {
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG,
                                        .delivery_mode = 2,
                                        .content_type = amqp_cstring_bytes("application/json")};
  if (amqp_basic_publish(connection, PUBLISH, amqp_empty_bytes, amqp_cstring_bytes(queue), 1, 0, &properties, body) != AMQP_STATUS_OK)
    die("cannot publish");
}

static void next_frame(amqp_frame_t *frame) {
  struct timeval timeout = {TIMEOUT_S, 0};
  int status = amqp_simple_wait_frame_noblock(connection, frame, &timeout);
  if (status != AMQP_STATUS_OK) die("waited in vain: %s", amqp_error_string2(status));
}

static int nothing_waits(void) { return !amqp_frames_enqueued(connection) && !amqp_data_in_buffer(connection); }

/* Reads the rest of a delivery into `body`. */
static amqp_bytes_t read_body(char *body, size_t room) {
  amqp_frame_t frame;
  next_frame(&frame);
  size_t size = frame.payload.properties.body_size, got = 0;
  if (size > room) die("a body of %zu bytes", size);
  while (got < size) {
    next_frame(&frame);
    memcpy(body + got, frame.payload.body_fragment.bytes, frame.payload.body_fragment.len);
    got += frame.payload.body_fragment.len;
  }
  return (amqp_bytes_t){size, body};
}

/* Publishes `messages` bodies and waits until the broker has them all; returns when it has. */
static void fill(uint64_t messages) {
  static char body[BODY];
  memset(body, 'x', BODY);
  uint64_t confirmed = 0, published = 0;
  while (confirmed < messages) {
    while (published < messages && published - confirmed < 1000) {
      publish("raw_a", (amqp_bytes_t){BODY, body});
      published++;
    }
    amqp_frame_t frame;
    next_frame(&frame);
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) die("a message was not taken");
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    /* Confirms of one queue come in order, so that the highest tag confirms all before it. */
    confirmed = ack->delivery_tag > confirmed ? ack->delivery_tag : confirmed;
    amqp_maybe_release_buffers(connection);
  }
}

int main(int count, char **given) {
  if (count != 6) die("usage: confirmed_hop URL quorum|classic MESSAGES PREFETCH all|first");
  uint64_t messages = strtoull(given[3], NULL, 10), prefetch = strtoull(given[4], NULL, 10);
  int last_publishes = strcmp(given[5], "all") == 0;
  open_connection(given[1]);
  declare("raw_a", given[2]);
  declare("raw_b", given[2]);
  declare("raw_c", given[2]);
  fill(messages);

  /* By delivery tag: whether it may be acknowledged. By number of the publish since the fill: whose delivery it was. */
  uint64_t jobs = 2 * messages;
  char *settled = calloc(jobs + 2, 1);
  uint64_t *delivery_of = calloc(jobs + 2, sizeof *delivery_of);
  uint64_t published = 0, confirmed = 0, ready = 0, acknowledged = 0;
  if (!settled || !delivery_of) die("out of memory");

  amqp_basic_qos(connection, CONSUME, 0, prefetch, 0);
  check("setting the prefetch");
  double began = now();
  amqp_basic_consume(connection, CONSUME, amqp_cstring_bytes("raw_a"), amqp_cstring_bytes("a"), 0, 0, 0, amqp_empty_table);
  check("consuming");
  amqp_basic_consume(connection, CONSUME, amqp_cstring_bytes("raw_b"), amqp_cstring_bytes("b"), 0, 0, 0, amqp_empty_table);
  check("consuming");

  while (acknowledged < jobs) {
    amqp_frame_t frame;
    next_frame(&frame);
    if (frame.frame_type != AMQP_FRAME_METHOD) die("a frame out of place");
    if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
      amqp_basic_deliver_t *delivery = frame.payload.method.decoded;
      uint64_t tag = delivery->delivery_tag;
      int first = *(char *)delivery->consumer_tag.bytes == 'a';
      char body[4096];
      amqp_bytes_t content = read_body(body, sizeof body);
      if (first || last_publishes) {
        publish(first ? "raw_b" : "raw_c", content);
        delivery_of[++published] = tag;
      } else {
        settled[tag] = 1;
      }
    } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
      amqp_basic_ack_t *ack = frame.payload.method.decoded;
      uint64_t number = ack->delivery_tag - messages;
      if (ack->multiple)
        while (confirmed < number) settled[delivery_of[++confirmed]] = 1;
      else
        settled[delivery_of[number]] = 1;
    } else {
      die("the broker sent method %" PRIx32, frame.payload.method.id);
    }
    while (ready < jobs && settled[ready + 1]) ready++;
    if (ready - acknowledged >= ACKNOWLEDGE_AFTER || (ready > acknowledged && nothing_waits())) {
      amqp_basic_ack(connection, CONSUME, ready, 1);
      acknowledged = ready;
    }
    amqp_maybe_release_buffers(connection);
  }
  printf("%.0f\n", jobs / (now() - began));
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  return 0;
}
