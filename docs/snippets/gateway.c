/*
 * A gateway in C99 and POSIX, without libraries: it asks meterd whether a device may connect and whether each of its
 * messages may pass.
 *
 *   cc -o gateway docs/snippets/gateway.c && ./gateway PRODUCT DEVICE MESSAGES
 *
 * It speaks plain HTTP, to a meterd on the same machine. For TLS, and to keep connections open, use libcurl in the
 * place of exchange(); what it must not do is change a body or a sequence that was sent once.
 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 8, ANSWER_BYTES_MAX = 8192 };

static const char *host, *port, *producer;
static char token[256];
static unsigned long long sequence;

static void die(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static const char *env(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

/* dial returns a connected socket with deadlines of 10 s, or -1. */
static int dial(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct timeval deadline = {.tv_sec = 10};
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &list) != 0) return -1;
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        if ((fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol)) < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) close(fd), fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* exchange sends a request and reads the whole answer. Returns its status and sets *body, or returns 0 without one. */
static int exchange(const char *request, char *answer, char **body) {
    size_t have = 0, left = strlen(request);
    ssize_t n = 0;
    int status = 0, fd = dial();
    if (fd < 0) return 0;
    while (left > 0 && (n = send(fd, request, left, MSG_NOSIGNAL)) > 0) request += n, left -= (size_t)n;
    while (left == 0 && (n = recv(fd, answer + have, ANSWER_BYTES_MAX - 1 - have, 0)) > 0) have += (size_t)n;
    close(fd);
    answer[have] = 0;
    char *end = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "Content-Length: ");
    if (end == NULL || length == NULL || length > end || sscanf(answer, "HTTP/1.1 %d", &status) != 1) return 0;
    *body = end + 4;
    return strtoul(length + 16, NULL, 10) == strlen(*body) ? status : 0; /* Half an answer is none. */
}

/* resume goes on above the last sequence. The gap is for what a killed predecessor may still have on its way. */
static void resume(void) {
    char request[1024], answer[ANSWER_BYTES_MAX], *body;
    snprintf(request, sizeof request,
             "GET /v1/producers/%s HTTP/1.1\r\nHost: %s:%s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n",
             producer, host, port, token);
    int status = exchange(request, answer, &body);
    if (status != 200 && status != 404) die("cannot ask for the last sequence", status ? body : "no answer");
    char *last = strstr(body, "\"last_sequence\":");
    sequence = (last ? strtoull(last + 16, NULL, 10) : 0) + 1000; /* "null" is 0. */
}

/*
 * decide asks about one event. Returns "accepted" or the code of the denial, valid until the next call. Without an
 * answer nobody knows what was counted: the same bytes with the same sequence are sent again until there is one, and
 * count once, however often they come.
 */
static const char *decide(const char *type, const char *product, const char *device) {
    static char code[64];
    char event[512], request[2048], answer[ANSWER_BYTES_MAX], *body, *found;
    snprintf(event, sizeof event, "[{\"type\":\"%s\",\"product\":\"%s\",\"device\":\"%s\",\"size\":7}]", type, product,
             device);
    snprintf(request, sizeof request,
             "POST /v1/events HTTP/1.1\r\nHost: %s:%s\r\nAuthorization: Bearer %s\r\nMeterd-Producer: %s\r\n"
             "Meterd-Sequence: %llu\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n"
             "\r\n%s",
             host, port, token, producer, ++sequence, strlen(event), event);
    for (int try = 0; try < TRIES; try++) {
        int status = exchange(request, answer, &body);
        if (status == 200) {
            if ((found = strstr(body, "\"code\":\"")) == NULL) return "accepted";
            sscanf(found + 8, "%63[^\"]", code);
            return code;
        }
        if (status > 0 && status < 500) die("refused", body); /* Nothing was counted; asking again does not help. */
        long ms = 100L << try; /* Many gateways should not come back at the same instant: half of it is random. */
        ms = (ms > 15000 ? 15000 : ms) / 2, ms += rand() % ms;
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    }
    die("no answer", "let nothing pass");
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) die("usage", "gateway PRODUCT DEVICE MESSAGES");
    host = env("METERD_HOST", "127.0.0.1"), port = env("METERD_PORT", "8480");
    producer = env("METERD_PRODUCER", "gw-c"); /* This gateway's own name: no other process may use it. */
    const char *path = env("METERD_TOKEN_FILE", "data/admin.token");
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%255s", token) != 1) die("no token", path);
    fclose(file);
    srand((unsigned)time(NULL) ^ (unsigned)getpid());
    resume();

    const char *verdict = decide("connect", argv[1], argv[2]);
    printf("connect: %s\n", verdict);
    if (strcmp(verdict, "accepted") != 0) return 1; /* Close the device's connection. */
    for (int n = 1; n <= atoi(argv[3]); n++) {
        /* Hand an accepted message to the platform; drop a denied one. */
        printf("up %d: %s\n", n, decide("up", argv[1], argv[2]));
    }
    decide("disconnect", argv[1], argv[2]);
    return 0;
}
