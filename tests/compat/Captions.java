import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.tensorflow.Result;
import org.tensorflow.SavedModelBundle;
import org.tensorflow.Tensor;
import org.tensorflow.ndarray.NdArray;
import org.tensorflow.ndarray.NdArrays;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TString;

/**
 * Captions files with an export: `java Captions.java EXPORT/1 FILE...`.
 *
 * <p>Prints a line a caption, best first: number of the file, log probability, caption, error, with
 * tabs between.
 */
public final class Captions {
  public static void main(String[] arguments) throws Exception {
    int files = arguments.length - 1;
    NdArray<byte[]> contents = NdArrays.ofObjects(byte[].class, Shape.of(files));
    for (int i = 0; i < files; i++) {
      contents.setObject(Files.readAllBytes(Path.of(arguments[i + 1])), i);
    }
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    try (SavedModelBundle model = SavedModelBundle.load(arguments[0], "serve");
        TString imageBytes = TString.tensorOfBytes(contents);
        Result result =
            model.function("serving_default").call(Map.<String, Tensor>of("image_bytes", imageBytes))) {
      TString captions = (TString) result.get("captions").get();
      TFloat32 logProbs = (TFloat32) result.get("log_probs").get();
      TString errors = (TString) result.get("error").get();
      for (long i = 0; i < files; i++) {
        for (long beam = 0; beam < captions.shape().get(1); beam++) {
          out.printf(
              "%d\t%s\t%s\t%s%n",
              i, logProbs.getFloat(i, beam), captions.getObject(i, beam), errors.getObject(i));
        }
      }
    }
  }
}
