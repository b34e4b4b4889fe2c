import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A gateway in Java 11 or later, without libraries: it asks meterd whether a device may connect and whether each of its
 * messages may pass.
 *
 * <pre>java docs/snippets/Gateway.java PRODUCT DEVICE MESSAGES</pre>
 *
 * Java has no JSON, so two patterns read the answer; use your JSON library in their place.
 */
public final class Gateway {
  /** With the pauses between them about a minute: longer than a restart of meterd. */
  private static final int TRIES = 8;

  private static final Pattern LAST = Pattern.compile("\"last_sequence\":(\\d+)");
  private static final Pattern DENIAL = Pattern.compile("\\{\"index\":(\\d+),\"code\":\"([^\"]+)\"");

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
  private final String url;
  private final String token;
  private final String producer;
  private long sequence;

  /** producer is this gateway's own name: no other process may use it. */
  Gateway(String url, String token, String producer) throws IOException, InterruptedException {
    this.url = url;
    this.token = token;
    this.producer = producer;
    HttpResponse<String> known = http.send(request("/v1/producers/" + producer).build(), BodyHandlers.ofString());
    if (known.statusCode() != 200 && known.statusCode() != 404) { // 404: a new name.
      throw new IOException(known.body());
    }
    Matcher last = LAST.matcher(known.body());
    // Sequences go on above the last one. The gap is for what a killed predecessor may still have on its way.
    sequence = (last.find() ? Long.parseLong(last.group(1)) : 0) + 1000;
  }

  private HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(URI.create(url + path))
        .timeout(Duration.ofSeconds(10))
        .header("Authorization", "Bearer " + token)
        .header("Meterd-Producer", producer);
  }

  /**
   * Asks about events, in order. Returns for each "accepted" or the code of its denial; throws if meterd did not answer
   * or refused the request as a whole: let nothing pass then.
   */
  List<String> decide(List<String> events) throws IOException, InterruptedException {
    sequence++;
    String answer = post(request("/v1/events")
        .header("Content-Type", "application/json")
        .header("Meterd-Sequence", Long.toString(sequence))
        .POST(BodyPublishers.ofString("[" + String.join(",", events) + "]"))
        .build());
    List<String> verdicts = new ArrayList<>(Collections.nCopies(events.size(), "accepted"));
    for (Matcher denial = DENIAL.matcher(answer); denial.find(); ) {
      verdicts.set(Integer.parseInt(denial.group(1)), denial.group(2));
    }
    return verdicts;
  }

  /**
   * Without an answer nobody knows what was counted. The same bytes with the same sequence are sent again until there
   * is one: they count once, however often they come.
   */
  private String post(HttpRequest request) throws IOException, InterruptedException {
    for (int attempt = 0; attempt < TRIES; attempt++) {
      long pauseMs = (long) (Math.min(100 << attempt, 15_000) * ThreadLocalRandom.current().nextDouble(0.5, 1));
      try {
        HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
        if (response.statusCode() == 200) {
          return response.body();
        }
        if (response.statusCode() < 500) { // Nothing was counted, and asking again does not help.
          throw new IllegalStateException(response.body());
        }
        pauseMs = Math.max(pauseMs, 1000 * response.headers().firstValueAsLong("Retry-After").orElse(0));
      } catch (IOException e) {
        // No connection, one that broke, or half an answer.
      }
      Thread.sleep(pauseMs);
    }
    throw new IOException("no answer to sequence " + sequence);
  }

  public static void main(String[] args) throws Exception {
    String token = Files.readString(Path.of(env("METERD_TOKEN_FILE", "data/admin.token"))).strip();
    Gateway meterd = new Gateway(env("METERD_URL", "http://127.0.0.1:8480"), token, env("METERD_PRODUCER", "gw-java"));
    String event = "{\"type\":\"%s\",\"product\":\"" + args[0] + "\",\"device\":\"" + args[1] + "\",\"size\":7}";

    String verdict = meterd.decide(List.of(String.format(event, "connect"))).get(0);
    System.out.println("connect: " + verdict);
    if (!verdict.equals("accepted")) {
      System.exit(1); // Close the device's connection.
    }
    for (int n = 1; n <= Integer.parseInt(args[2]); n++) {
      verdict = meterd.decide(List.of(String.format(event, "up"))).get(0);
      System.out.println("up " + n + ": " + verdict); // Hand an accepted message to the platform; drop a denied one.
    }
    meterd.decide(List.of(String.format(event, "disconnect")));
  }

  private static String env(String name, String otherwise) {
    return System.getenv().getOrDefault(name, otherwise);
  }
}
