<?php
/*
 * What Apache's configuration would do for WordPress: files of wp-content with byte ranges, PHP and
 * other files by PHP's own server, everything else to index.php.
 */
$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (strpos($path, '..') !== false) {
    http_response_code(400);
    return true;
}
if (preg_match('#^/wp-content/(.+)$#', $path, $match)) {
    $file = getenv('WORDPRESS_CONTENT') . '/' . $match[1];
    if (is_file($file) && substr($file, -4) !== '.php') {
        send_file($file);
        return true;
    }
}
$file = $_SERVER['DOCUMENT_ROOT'] . $path;
if (is_file($file)) {
    return false;
}
if (is_dir($file) && is_file(rtrim($file, '/') . '/index.php') && $path !== '/') {
    return false;
}
$_SERVER['SCRIPT_NAME'] = '/index.php';
require $_SERVER['DOCUMENT_ROOT'] . '/index.php';
return true;

function send_file(string $file): void
{
    $types = ['mp4' => 'video/mp4', 'css' => 'text/css', 'js' => 'text/javascript', 'svg' => 'image/svg+xml',
        'png' => 'image/png', 'jpg' => 'image/jpeg', 'woff2' => 'font/woff2'];
    $size = filesize($file);
    [$first, $last] = [0, $size - 1];
    header('Content-Type: ' . ($types[pathinfo($file, PATHINFO_EXTENSION)] ?? 'application/octet-stream'));
    header('Accept-Ranges: bytes');
    header('Last-Modified: ' . gmdate('D, d M Y H:i:s', filemtime($file)) . ' GMT');
    if (preg_match('/^bytes=(\d*)-(\d*)$/', $_SERVER['HTTP_RANGE'] ?? '', $asked) && $asked[1] . $asked[2] !== '') {
        $first = $asked[1] === '' ? max(0, $size - (int) $asked[2]) : (int) $asked[1];
        $last = $asked[1] === '' || $asked[2] === '' ? $last : min($last, (int) $asked[2]);
        if ($first > $last) {
            http_response_code(416);
            header("Content-Range: bytes */$size");
            return;
        }
        http_response_code(206);
        header("Content-Range: bytes $first-$last/$size");
    }
    header('Content-Length: ' . ($last - $first + 1));
    if ($_SERVER['REQUEST_METHOD'] === 'HEAD') {
        return;
    }
    $in = fopen($file, 'rb');
    fseek($in, $first);
    for ($left = $last - $first + 1; $left > 0 && !connection_aborted(); $left -= strlen($data)) {
        $data = fread($in, min(1 << 18, $left));
        echo $data;
        flush();
    }
    fclose($in);
}
